"""What the commands of ``python -m scoring`` do. Each returns its exit status."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from scoring import terminal
from scoring.cli import report
from scoring.engine import resource_limits
from scoring.engine.metrics import card_builder
from scoring.engine.metrics import compare as comparing
from scoring.engine.metrics import evidence as evidences
from scoring.engine.metrics.card import ScoreCard
from scoring.engine.scorer import child
from scoring.engine.scorer.verdicts import Progress, Rejected, ScorerFailure
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import SpecError, TaskSpec
from scoring.engine.truth import split as splits
from scoring.engine.truth import store
from scoring.engine.truth.sealing_keys import SealError

DONE, REFUSED = 0, 1
TIMEOUT_S = 24 * 3600.0  # a person at a terminal has Ctrl-C


class CommandFailed(Exception):
    """Wrong usage or our own fault; the message is for the person at the terminal."""


def score(
    *,
    labels: Path,
    predictions: Path,
    spec: str,
    evidence: Path | None,
    workers: int | None,
    no_isolation: bool,
    as_json: bool,
) -> int:
    """Score a zip or folder; the ids found in the labels are the expected set."""
    started_s = time.monotonic()
    task = _spec(spec)
    must_exist(labels, predictions)
    with failing_on_errors(), _packed_truth(labels, spec=task) as truth_path:
        result = child.run(
            spec=task,
            truth_path=truth_path.resolve(),
            archive_path=predictions.resolve(),
            evidence_path=None if evidence is None else evidence.resolve(),
            timeout_s=TIMEOUT_S,
            on_progress=_progress(as_json),
            workers=workers,
            isolate=not no_isolation,
        )
    if isinstance(result, ScorerFailure):
        raise CommandFailed(_failure_text(result))
    if isinstance(result, Rejected):
        return _refuse(result, as_json=as_json)
    card: ScoreCard = {**result.card, "seconds": round(time.monotonic() - started_s, 3)}
    print(terminal.to_json(card) if as_json else report.score(card))
    return DONE


def validate(
    *,
    ids: Path | None,
    predictions: Path,
    spec: str,
    workers: int | None,
    no_isolation: bool,
    as_json: bool,
) -> int:
    """Everything that needs no label."""
    task = _spec(spec)
    must_exist(predictions)
    expected = None if ids is None else read_ids(ids, spec=task)
    if expected is None and not task.expected:
        raise CommandFailed(f"{task.id} has no list of patches of its own: give --ids")
    with failing_on_errors():
        result = child.validate(
            spec=task,
            archive_path=predictions.resolve(),
            expected_ids=expected,
            timeout_s=TIMEOUT_S,
            on_progress=_progress(as_json),
            workers=workers,
            isolate=not no_isolation,
        )
    if isinstance(result, ScorerFailure):
        raise CommandFailed(_failure_text(result))
    if isinstance(result, Rejected):
        return _refuse(result, as_json=as_json)
    print(
        terminal.to_json({"errors": [], **result.report})
        if as_json
        else report.valid(result.report)
    )
    return DONE


def verify_split(*, labels: Path, commitment: str | None, as_json: bool) -> int:
    """Check that a list of public zones and its nonce open the commitment to them."""
    try:
        items = json.loads(labels.read_text(encoding="utf-8"))["items"]
        opened = [item["split"] for item in items if item["split"] is not None]
        found = [
            (split["commitment"], list(split["public_list"]), str(split["nonce"]))
            for split in opened
            if split["nonce"] is not None
        ]
    except OSError as error:
        raise CommandFailed(resource_limits.describe(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise CommandFailed(f"{labels.name}: not the labels of a phase as the API has them") from (
            error
        )
    if not found:
        raise CommandFailed(f"{labels.name}: holds no list of public zones that is opened yet")
    with failing_on_errors():
        opens = [
            splits.opens(commitment or own, public_zones=zones, nonce=nonce)
            for own, zones, nonce in found
        ]
    # With a commitment that was noted, one of the versions has to be it.
    is_right = any(opens) if commitment else all(opens)
    if as_json:
        print(terminal.to_json({"opens": is_right, "versions": len(found)}))
    elif is_right:
        count = max(len(zones) for _own, zones, _nonce in found)
        print(f"The list of {count} public zones is the one that was committed to.")
    else:
        print("The list is NOT the one that was committed to: other zones, or another nonce.")
    return DONE if is_right else REFUSED


def pack(*, labels: Path, out: Path, ids: Path | None, spec: str, as_json: bool) -> int:
    """Check masks and pack them; with ``ids``, exactly these must be there."""
    task = _spec(spec)
    must_exist(labels)
    with failing_on_errors():
        wanted = (
            sorted(store.find_masks(labels, spec=task)) if ids is None else read_ids(ids, spec=task)
        )
        info = store.pack(
            labels, out, spec=task, ids=wanted, on_progress=_packing_progress(as_json)
        )
    facts: report.PackedFacts = {
        "digest": info.digest,
        "patches": len(info.patch_ids),
        "domains": len(set(info.domains.values())),
        "zones": len(set(info.zones.values())),
        "file_bytes": info.file_bytes,
        "raw_bytes": info.raw_bytes,
    }
    print(terminal.to_json(facts) if as_json else report.packed(facts, out=out))
    return DONE


def compare(*, a: Path, b: Path, spec: str | None, as_json: bool) -> int:
    """The paired bootstrap over zones of two scores."""
    task = None if spec is None else _spec(spec)
    must_exist(a, b)
    with failing_on_errors():
        zones_a, zones_b = comparing.read(a, spec=task), comparing.read(b, spec=task)
        result = comparing.compare(zones_a, zones_b)
    document = comparing.to_json(result, spec=zones_a.spec)
    print(
        terminal.to_json(document) if as_json else report.comparison(document, a=a.name, b=b.name)
    )
    return DONE


def rescore(*, evidence: Path, ids: Path | None, spec: str | None, as_json: bool) -> int:
    """Score again from the counts of an earlier score."""
    must_exist(evidence)
    with failing_on_errors():
        task = None if spec is None else _spec(spec)
        counts = evidences.load(evidence)
        chosen = None if ids is None else read_ids(ids, spec=task or counts.spec)
        card = card_builder.build(counts, spec=task, ids=chosen)
    print(terminal.to_json(card) if as_json else report.score(card))
    return DONE


def bench(*, patches: int, uncompressed: bool, as_json: bool) -> int:
    """Measure the engine against its floor and the reference method."""
    from scoring.bench import bench as benchmark  # needs the development extras

    if patches <= benchmark.FEW_PATCHES:
        raise CommandFailed(
            f"--patches is {patches}; at least {benchmark.FEW_PATCHES + 1} are needed"
        )
    with failing_on_errors():
        results = benchmark.run(patches=patches, uncompressed=uncompressed)
    print(terminal.to_json(results) if as_json else benchmark.table(results))
    return DONE


def read_ids(path: Path, *, spec: TaskSpec) -> list[str]:
    """Patch ids of a CSV file, or of the file names in a folder or zip. Raises `CommandFailed`."""
    if not path.exists():
        raise CommandFailed(f"{path} does not exist")
    if path.is_dir():
        stems = [p.stem for p in path.rglob("*") if p.is_file()]
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            stems = [PurePosixPath(name).stem for name in archive.namelist()]
    else:
        try:
            return [patch.id for patch in specs.read_ids_csv(path)]
        except SpecError as error:
            raise CommandFailed(str(error)) from error
    ids = sorted({patch_id for stem in stems if (patch_id := _id_of(stem, spec=spec))})
    if not ids:
        raise CommandFailed(
            f"{path} holds no file that is named by a patch, such as {_example(spec)}"
        )
    return ids


def _id_of(stem: str, *, spec: TaskSpec) -> str | None:
    """The patch of a mask, a prediction or anything else that ends like them (IMG_077413)."""
    patch_id = spec.truth_id(stem) or spec.prediction_id(stem)
    if patch_id is None and "_" in stem:
        bare = Path(spec.prediction_name.replace("{id}", stem.split("_", 1)[1])).stem
        patch_id = spec.prediction_id(bare)
    return patch_id


def _example(spec: TaskSpec) -> str:
    patch_id = spec.expected[0].id if spec.expected else "ID"
    return spec.prediction_name.replace("{id}", patch_id)


def _spec(name_or_path: str) -> TaskSpec:
    try:
        return specs.load(name_or_path)
    except SpecError as error:
        raise CommandFailed(str(error)) from error


def must_exist(*paths: Path) -> None:
    """Raises `CommandFailed` for the first that is missing."""
    for path in paths:
        if not path.exists():
            raise CommandFailed(f"{path} does not exist")


@contextmanager
def _packed_truth(labels: Path, *, spec: TaskSpec) -> Iterator[Path]:
    """The packed file itself, or a folder of masks packed into a temporary file."""
    if labels.is_file():
        with store.PackedTruth.open(labels) as truth:
            store.check_fits(truth, spec=spec)
        yield labels
        return
    with tempfile.TemporaryDirectory(prefix="scoring-") as folder:
        packed = Path(folder) / "truth.pack"
        ids = sorted(store.find_masks(labels, spec=spec))
        store.pack(labels, packed, spec=spec, ids=ids)
        yield packed


@contextmanager
def failing_on_errors() -> Iterator[None]:
    """Turn expected errors into `CommandFailed`; anything else is a defect and shows its trace."""
    try:
        yield
    except (
        store.StoreError,
        splits.SplitError,
        SpecError,
        evidences.EvidenceError,
        comparing.CompareError,
        SealError,
    ) as error:
        raise CommandFailed(str(error)) from error
    except OSError as error:
        raise CommandFailed(resource_limits.describe(error)) from error
    except MemoryError as error:
        raise CommandFailed(resource_limits.with_low_limits("out of memory")) from error


def _failure_text(result: ScorerFailure) -> str:
    if result.code == "isolation-unavailable":
        return f"{result.code}: {result.detail} (--no-isolation decodes your own files without it)"
    return f"{result.code}: {result.detail}"


def _refuse(result: Rejected, *, as_json: bool) -> int:
    if as_json:
        errors = [{"code": p.code, "message": p.message, "file": p.file} for p in result.problems]
        print(terminal.to_json({"errors": errors, "more": result.more}))
    else:
        print(report.refused([p.message for p in result.problems], more=result.more))
    return REFUSED


def _progress(as_json: bool) -> Callable[[Progress], None] | None:
    if as_json or not sys.stderr.isatty():
        return None

    def print_progress(progress: Progress) -> None:
        done, total = progress.patches_done, progress.patches_total
        print(f"\r{progress.stage} {done}/{total} ", end="", file=sys.stderr, flush=True)

    return print_progress


def _packing_progress(as_json: bool) -> Callable[[int, int], None] | None:
    print_progress = _progress(as_json)
    if print_progress is None:
        return None
    return lambda done, total: print_progress(Progress("packing", done, total))
