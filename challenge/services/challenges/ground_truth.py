"""Installing hidden labels: packed into the workers' folder, registered as an immutable version.

Runs where LABELS_DIR is set (a worker's machine), never in a web process. The database learns the
version, the ids, the digest and the steps of disclosed values; not a pixel, and how often a class
occurs only as far as the steps tell. The digest stays there: logs, names of files and the audit log
have the commitment to it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from challenge.models import Challenge, Evaluation, GroundTruth, Phase, User
from challenge.rules import rounding
from challenge.rules.rounding import Steps
from challenge.services import audit
from challenge.services.challenges import phases, public_labels, splits
from challenge.services.challenges.splits import SplitRequest
from scoring.engine.task import specification as task_spec
from scoring.engine.task.specification import Patch, SpecError, TaskSpec
from scoring.engine.truth import split as split_files
from scoring.engine.truth import store
from scoring.engine.truth.split import SplitError
from scoring.engine.truth.store import StoreError, StoreInfo

PARTIAL = ".partial"
Progress = Callable[[int, int], None]


class InstallError(Exception):
    """The labels were not installed, and nothing was registered. The message names the file."""


@dataclass(frozen=True)
class Installed:
    """What `install` registered; ``created`` is False where these very labels were known.

    ``rescore`` counts submissions scored against earlier labels: above 0 the phase keeps those
    until it is re-scored (``rescore_phase``).
    """

    ground_truth: GroundTruth
    created: bool
    attached: bool
    rescore: int
    store_bytes: int
    raw_bytes: int


def install(
    *,
    challenge_slug: str,
    phase_slug: str,
    labels_dir: Path,
    ids_csv: Path | None = None,
    subset: bool = False,
    labels_public: bool = False,
    pixels_per_step: int = rounding.PIXELS_PER_STEP,
    split: SplitRequest | None = None,
    actor: User | None = None,
    on_progress: Progress | None = None,
) -> Installed:
    """Check and pack every ``MSK_*.tif`` below ``labels_dir`` and attach them to the phase.

    The masks must be exactly the phase's patches, or those of ``ids_csv``; with ``subset`` other
    masks in the folder are ignored. They are public with ``labels_public`` or where the challenge
    file says so. ``pixels_per_step``: see :mod:`challenge.rules.rounding`; ``split``: which zones
    are public (:mod:`challenge.services.challenges.splits`). ``on_progress`` gets (masks done,
    masks in all).
    Raises `InstallError`: a mask is broken, missing or unknown, there is nowhere to put them,
    public and hidden labels would have a patch in common, or the split is none.
    """
    phase = _phase(challenge_slug, phase_slug)
    patches = _expected(phase, ids_csv)

    def write_pack(spec: TaskSpec, out: Path) -> StoreInfo:
        return _pack(labels_dir, out, spec, patches, subset, on_progress)

    return install_with(
        write_pack,
        phase=phase,
        patches=patches,
        labels_public=labels_public,
        pixels_per_step=pixels_per_step,
        split=split,
        actor=actor,
    )


def install_with(
    write_pack: Callable[[TaskSpec, Path], StoreInfo],
    *,
    phase: Phase,
    patches: tuple[Patch, ...] | None = None,
    labels_public: bool = False,
    pixels_per_step: int = rounding.PIXELS_PER_STEP,
    split: SplitRequest | None = None,
    actor: User | None = None,
    confirm: Callable[[Installed], None] | None = None,
) -> Installed:
    """Register what ``write_pack`` packs for the phase; other arguments as of `install`.

    ``write_pack`` gets the task, with the expected patches, and the file to write. ``confirm`` is
    called in the transaction of the registration, before anything is in place: what it raises
    undoes all. Raises as `install`, and what both raise.
    """
    folder = _labels_folder()
    patches = _expected(phase, None) if patches is None else patches
    spec = replace(_spec(phase), expected=patches)
    labels_public = labels_public or phase.labels_public
    shared = public_labels.describe_shared(
        phase, [patch.id for patch in patches], labels_public=labels_public
    )
    if shared:
        raise InstallError(shared)
    partial = folder / f".{phase.challenge.slug}-{phase.slug}.{secrets.token_hex(8)}{PARTIAL}"
    try:
        request = _split_request(split, labels_public=labels_public)
        info = write_pack(spec, partial)
        chosen = splits.decide(phase, info, request, folder=folder)
        splits.check_sides(phase, info, chosen, folder=folder)
        pixels = splits.label_pixels(partial, info, chosen)
        columns = {
            "labels_public": labels_public,
            "steps": _steps(pixels, spec, pixels_per_step).to_json(),
            **splits.columns(info, chosen, spec),
        }
        if chosen is not None:
            split_files.save(chosen, folder)
        return _register(phase, info, partial, folder, columns, actor, confirm)
    except (StoreError, SpecError, SplitError) as error:
        raise InstallError(str(error)) from error
    finally:
        partial.unlink(missing_ok=True)


def remove_partial(folder: Path, *, older_than_s: float = 3600.0) -> int:
    """Remove what installations left that were killed; returns how many files."""
    count = 0
    for path in folder.glob(f".*{PARTIAL}*"):
        with suppress(FileNotFoundError):  # another worker was first
            if time.time() - path.stat().st_mtime > older_than_s:
                path.unlink()
                count += 1
    return count


def _phase(challenge_slug: str, phase_slug: str) -> Phase:
    if not Challenge.objects.filter(slug=challenge_slug).exists():
        known = ", ".join(Challenge.objects.values_list("slug", flat=True)) or "none"
        raise InstallError(
            f"no challenge {challenge_slug!r}; there are: {known}. "
            f"Load it first: manage.py load_challenge challenges/{challenge_slug}"
        )
    phases = Phase.objects.select_related("challenge", "task_spec")
    phase = phases.filter(challenge__slug=challenge_slug, slug=phase_slug).first()
    if phase is None:
        known = ", ".join(
            phases.filter(challenge__slug=challenge_slug).values_list("slug", flat=True)
        )
        raise InstallError(
            f"{challenge_slug} has no phase {phase_slug!r}; there are: {known or 'none'}"
        )
    return phase


def _labels_folder() -> Path:
    folder: Path | None = settings.LABELS_DIR
    if folder is None:
        raise InstallError(
            "LABELS_DIR is not set; set it to the folder that the workers read labels from"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InstallError(f"LABELS_DIR {folder} cannot be made: {error.strerror}") from error
    return folder


def _spec(phase: Phase) -> TaskSpec:
    if phase.task_spec is None:
        raise InstallError(f"{phase} has no task yet; load the challenge again")
    return task_spec.from_json(phase.task_spec.data)


def _expected(phase: Phase, ids_csv: Path | None) -> tuple[Patch, ...]:
    if ids_csv is not None:
        try:
            patches = task_spec.read_ids_csv(ids_csv, key="--ids")
        except SpecError as error:
            raise InstallError(str(error)) from error
    else:
        patches = tuple(Patch(*row) for row in phase.public_patches)
    if not patches:
        raise InstallError(f"{phase} expects no patches; list them in the challenge file or --ids")
    return patches


def _pack(
    labels_dir: Path,
    out: Path,
    spec: TaskSpec,
    patches: tuple[Patch, ...],
    subset: bool,
    on_progress: Progress | None,
) -> StoreInfo:
    if not labels_dir.is_dir():
        raise InstallError(f"--labels {labels_dir}: is not a folder")
    domains = {p.id: (p.domain, p.zone) for p in patches if p.domain}
    ids = [p.id for p in patches]
    with _chosen(labels_dir, spec, ids) if subset else nullcontext(labels_dir) as folder:
        return store.pack(folder, out, spec=spec, ids=ids, domains=domains, on_progress=on_progress)


def _split_request(split: SplitRequest | None, *, labels_public: bool) -> SplitRequest:
    if not labels_public:
        return split or SplitRequest()
    if split is not None and (split.public_share is not None or split.public_zones is not None):
        raise SplitError(
            "found a split of public labels; private zones need labels that nobody can download"
        )
    return SplitRequest(none=True)


def _steps(label_pixels: Mapping[int, int], spec: TaskSpec, pixels_per_step: int) -> Steps:
    class_pixels = [0] * len(spec.classes)
    for label, pixels in label_pixels.items():
        class_pixels[int(spec.label_table[label])] += pixels
    return rounding.steps_for(class_pixels, scored=spec.scored_ids, pixels_per_step=pixels_per_step)


@contextmanager
def _chosen(labels_dir: Path, spec: TaskSpec, ids: list[str]) -> Iterator[Path]:
    """A folder of links to the masks of ``ids`` alone, in the same sub-folders."""
    masks = store.find_masks(labels_dir, spec=spec)
    with TemporaryDirectory(prefix="labels-") as name:
        for patch_id in set(ids) & set(masks):
            link = Path(name) / masks[patch_id].relative_to(labels_dir)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(masks[patch_id].resolve())
        yield Path(name)


def _described_split(truth: GroundTruth) -> dict[str, Any]:
    """Return what the audit log has of a split."""
    if not truth.is_split:
        return {}
    return {
        "split_commitment": truth.split_commitment,
        "public_zones": truth.public_zone_count,
        "zones": truth.zone_count,
    }


@transaction.atomic
def _register(
    phase: Phase,
    info: StoreInfo,
    packed: Path,
    folder: Path,
    columns: dict[str, Any],
    actor: User | None,
    confirm: Callable[[Installed], None] | None,
) -> Installed:
    """Insert the version (or find it by its digest), move the file into place, attach.

    ``columns`` are those of the row that are not the masks' own.
    """
    phase = Phase.objects.select_for_update().get(pk=phase.pk)
    known = GroundTruth.objects.filter(challenge=phase.challenge, name=phase.slug)
    truth = known.filter(digest=info.digest).first()
    created = truth is None
    if truth is None:
        version = (known.aggregate(last=Max("version"))["last"] or 0) + 1
        truth = GroundTruth(
            challenge=phase.challenge,
            name=phase.slug,
            version=version,
            digest=info.digest,
            patch_count=len(info.patch_ids),
            patches=[
                [i, info.domains[i], info.zones[i].removeprefix(f"{info.domains[i]}/")]
                for i in info.patch_ids
            ],
            store_bytes=info.file_bytes,
            **columns,
        )
        # Names of files stand in logs: this one says nothing of the labels.
        name = f"{phase.challenge.slug}-{phase.slug}-v{version}-{truth.commitment[:12]}"
        truth.store_name = f"{name}.truth"
        truth.save()
    else:
        if truth.split_commitment == columns["split_commitment"]:
            columns["steps"] = truth.steps or columns["steps"]
        for name, value in columns.items():
            setattr(truth, name, value)
        truth.save(update_fields=list(columns))
    rescore = 0
    attached = phase.ground_truth_id != truth.pk
    if attached and phase.ground_truth_id is not None:
        # A board never empties: new labels take over once the submissions are scored with them.
        scored = Evaluation.objects.filter(submission__entry__phase=phase)
        rescore = scored.values("submission").distinct().count()
        attached = rescore == 0
    if attached:
        phase.ground_truth = truth
    if phase.ground_truth_id == truth.pk:
        phase.labels_public = truth.labels_public
        phase.save(update_fields=["ground_truth", "labels_public"])
        phases.update_labels_open_until()
    if created or attached:
        audit.record(
            "ground_truth.install",
            actor=actor,
            challenge=phase.challenge,
            target=phase,
            version=truth.version,
            commitment=truth.commitment,
            patches=truth.patch_count,
            attached=attached,
            **_described_split(truth),
        )
    installed = Installed(truth, created, attached, rescore, info.file_bytes, info.raw_bytes)
    if confirm is not None:
        confirm(installed)
    # last before the commit: a crash in between leaves a file that nobody names, never a row
    # without its file
    packed.replace(folder / truth.store_name)
    return installed
