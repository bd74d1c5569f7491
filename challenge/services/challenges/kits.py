"""Practice kits: what organisers publish of a phase for participants to start from.

A kit is one zip in storage, made from a folder or a zip of the organiser's in any layout:

    ids.csv                    domain, zone and id of each patch
    task.json                  the task specification, as the API gives it
    images/<id>.tif            the phase's patches, all of them
    examples/images/<id>.tif   other patches,
    examples/labels/<id>.tif   with their masks
    dates.csv                  when images were photographed, where the source says so
    sentinel/<id>.npy          series of satellite images [dates, bands, rows, columns],
    sentinel/dates.csv         and their dates (:mod:`challenge.services.challenges.kit_extras`)

Masks of patches that a phase of the challenge scores never go into a kit, public or not. They are
known by the task's pattern of names; what is named otherwise and looks like a mask (one band of 8
bits) is taken for an image only in a folder of images. Images are copied byte for byte; of their
content size, bands and bits are read alone, and nothing is decoded. A gallery is drawn by a worker
afterwards (:mod:`challenge.services.challenges.galleries`).
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import tempfile
import zipfile
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone
from numpy.typing import NDArray

from challenge.errors import refuse
from challenge.models import Challenge, Phase, PracticeKit, User
from challenge.rules.roles import Act
from challenge.rules.spreadsheet import write_csv
from challenge.selectors import phases, roles
from challenge.services import audit
from challenge.services.challenges import galleries, kit_extras
from scoring.engine.archive import tiff_directory
from scoring.engine.archive.tiff_directory import Tag
from scoring.engine.problems.problems import Refused
from scoring.engine.task import specification as task_spec
from scoring.engine.task.specification import TaskSpec

FOLDER = "kits"
MAX_IMAGE_BYTES = 64_000_000
MAX_SERIES_BYTES = 200_000_000  # of a zone
MAX_BYTES = 20_000_000_000
MAX_SENT_BYTES = 2_000_000_000  # of a zip that comes by a form, and of the kit made of it
# A classifier learns from a few dozen; a whole training set is what the challenge's data page has.
MAX_EXAMPLES = 60
SUFFIXES = (".tif", ".tiff")
# Where images and masks have the same names, the folder tells them apart.
IMAGE_FOLDERS = {"images", "image", "img"}
MOMENT = (1980, 1, 1, 0, 0, 0)  # the same files are the same zip


@dataclass
class _Source:
    """What an organiser gives: a folder, or the zip that is open in ``archive``."""

    path: Path
    name: str
    archive: zipfile.ZipFile | None

    def names(self) -> list[str]:
        """Return the names of its TIFFs, in order."""
        return self._names(SUFFIXES)

    def others(self) -> list[str]:
        """Return the names of what may be dates or series of its images, in order."""
        return self._names(kit_extras.SUFFIXES)

    def _names(self, suffixes: tuple[str, ...]) -> list[str]:
        if self.archive is not None:
            found = [info.filename for info in self.archive.infolist() if not info.is_dir()]
        else:
            files = (path for path in self.path.rglob("*") if path.is_file())
            found = [path.relative_to(self.path).as_posix() for path in files]
        hidden = ("__MACOSX/", ".")
        return sorted(
            name
            for name in found
            if PurePosixPath(name).suffix.lower() in suffixes and not name.startswith(hidden)
        )

    def read(self, name: str) -> bytes:
        """Return one file, of which no more than the limit and a byte is read."""
        if self.archive is not None:
            with self.archive.open(name) as member:
                return member.read(MAX_IMAGE_BYTES + 1)
        with (self.path / name).open("rb") as file:
            return file.read(MAX_IMAGE_BYTES + 1)

    def array(self, name: str) -> NDArray[Any]:
        """Return a NumPy array, of a folder without reading it whole. Raises ValueError."""
        if self.archive is None:
            found = np.load(self.path / name, mmap_mode="r", allow_pickle=False)
        else:
            size = self.archive.getinfo(name).file_size
            if size > MAX_SERIES_BYTES:
                raise ValueError(f"> {MAX_SERIES_BYTES // 10**6} MB")
            with self.archive.open(name) as member:
                self._check_header(member, size=size)
            found = np.load(io.BytesIO(self.archive.read(name)), allow_pickle=False)
        if not isinstance(found, np.ndarray):
            raise ValueError("not one array")
        return found

    @staticmethod
    def _check_header(member: IO[bytes], *, size: int) -> None:
        """Raise ValueError where an array would be larger than its file: NumPy makes room first."""
        version = np.lib.format.read_magic(member)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in readers:
            raise ValueError(f"version {version} of the format, allowed are 1.0 and 2.0")
        shape, _order, dtype = readers[version](member)
        if dtype.hasobject or math.prod(shape) * dtype.itemsize > size:
            raise ValueError(f"{dtype} {list(shape)} in {size} bytes")


class _Kit(zipfile.ZipFile):
    """The zip that is written, of so many bytes at most."""

    def __init__(self, file: IO[bytes], limit_bytes: int) -> None:
        super().__init__(file, "w")
        self.limit_bytes = limit_bytes


@dataclass
class _Contents:
    """Patch id → name in the source."""

    images: dict[str, str] = field(default_factory=dict)
    example_images: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)

    def examples(self) -> list[str]:
        """Return the ids of patches with image and mask; if too many, evenly spread ones."""
        both = sorted(self.example_images.keys() & self.masks.keys())
        return both[:: max(1, -(-len(both) // MAX_EXAMPLES))]


@dataclass(frozen=True)
class Published:
    """The kit of a phase, and whether it is another than before."""

    kit: PracticeKit
    changed: bool


def publish(
    *,
    phase: Phase,
    source: Path,
    actor: User | None,
    source_name: str = "",
    limit_bytes: int = MAX_BYTES,
) -> Published:
    """Make a phase's kit from the TIFFs below a folder or in a zip; it replaces an earlier one.

    ``actor`` None: a command. ``source_name`` is what messages call the source, by default the
    name that it has; the kit has at most ``limit_bytes``. Raises NotAllowed, Refusal
    ``phase-not-ready``, ``kit-source-unreadable``, ``kit-images-missing``, ``kit-image-twice``,
    ``kit-image-unusable``, ``kit-image-like-mask``, ``kit-extra-unusable``, ``kit-too-large``.
    """
    if actor is not None:
        roles.require(actor, Act.PHASES, phase.challenge)
    patches = phases.expected_patches(phase)
    if phase.task_spec is None or not patches:
        raise refuse("phase-not-ready")
    spec = task_spec.from_json(phase.task_spec.data)
    with tempfile.TemporaryFile() as file:
        with _opened(source, source_name or source.name) as found:
            contents = _sort(found, spec=spec, patches=patches, challenge=phase.challenge)
            document = {k: v for k, v in phase.task_spec.data.items() if k != "expected"}
            with _Kit(file, limit_bytes) as target:
                ids = [[domain, zone, patch] for patch, domain, zone in patches]
                _add_file(target, "ids.csv", write_csv(["domain", "zone", "patch"], ids).encode())
                _add_file(target, "task.json", json.dumps(document, ensure_ascii=False).encode())
                _copy(target, found, contents, spec)
                _add_extras(target, found, patches)
        return _store(phase, file, contents, actor)


def remove(*, phase: Phase, actor: User) -> None:
    """Withdraw a phase's kit. Raises NotAllowed."""
    roles.require(actor, Act.PHASES, phase.challenge)
    kit = PracticeKit.objects.filter(phase=phase).first()
    if kit is None:
        return
    with transaction.atomic():
        kit.delete()
        galleries.refresh(phase)
        audit.record("kit.remove", actor=actor, challenge=phase.challenge, target=phase)
        transaction.on_commit(partial(default_storage.delete, kit.stored_name))


@contextmanager
def _opened(source: Path, name: str) -> Iterator[_Source]:
    if source.is_dir():
        yield _Source(source, name, None)
        return
    try:
        with zipfile.ZipFile(source) as archive:
            yield _Source(source, name, archive)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise refuse("kit-source-unreadable", source=name, reason=str(error)) from error


def _sort(
    source: _Source, *, spec: TaskSpec, patches: list[list[str]], challenge: Challenge
) -> _Contents:
    """Tell what each file is; raises Refusal unless every patch of the phase has one image."""
    expected = {patch for patch, _domain, _zone in patches}
    scored = set(expected)
    for other in challenge.phases.select_related("ground_truth", "task_spec"):
        scored |= {patch for patch, _domain, _zone in phases.expected_patches(other)}
    contents = _Contents()
    images = []
    for name in source.names():
        masked = _masked_patch(PurePosixPath(name), spec)
        if masked is None:
            images.append(name)
        elif masked not in scored:
            contents.masks.setdefault(masked, name)
    for name in images:
        stem = PurePosixPath(name).stem
        patch, example = _id_of(stem, expected), _id_of(stem, contents.masks)
        if patch is not None:
            if patch in contents.images:
                other_name = contents.images[patch]
                raise refuse("kit-image-twice", file=name, patch=patch, other=other_name)
            contents.images[patch] = name
        elif example is not None:
            contents.example_images.setdefault(example, name)
    missing = sorted(expected - contents.images.keys())
    if missing:
        raise refuse(
            "kit-images-missing", source=source.name, missing=len(missing),
            expected=len(expected), first=missing[0],
        )  # fmt: skip
    return contents


def _masked_patch(path: PurePosixPath, spec: TaskSpec) -> str | None:
    """Return the patch whose mask a file is by its name; None for an image."""
    return None if _is_in_images(path) else spec.truth_id(path.stem)


def _is_in_images(path: PurePosixPath) -> bool:
    return not IMAGE_FOLDERS.isdisjoint(part.lower() for part in path.parts[:-1])


def _id_of(stem: str, known: Container[str]) -> str | None:
    """Return the patch that a file's name ends with: the whole name, or what follows a ``_``.

    >>> _id_of("IMG_000826", {"000826"}), _id_of("img_A_r1", {"A_r1", "r1"}), _id_of("x", {"y"})
    ('000826', 'A_r1', None)
    """
    rest = stem
    while rest:
        if rest in known:
            return rest
        rest = rest.partition("_")[2]
    return None


def _copy(target: _Kit, source: _Source, contents: _Contents, spec: TaskSpec) -> None:
    examples = contents.examples()
    for folder, names, ids in (
        ("images", contents.images, sorted(contents.images)),
        ("examples/images", contents.example_images, examples),
        ("examples/labels", contents.masks, examples),
    ):
        for patch in ids:
            name = names[patch]
            may_be_mask = names is contents.masks or _is_in_images(PurePosixPath(name))
            image = _image(source, name, spec, may_be_mask=may_be_mask)
            _add_file(target, f"{folder}/{patch}.tif", image)


def _add_extras(target: _Kit, source: _Source, patches: list[list[str]]) -> None:
    """Add dates and series of the phase's patches, where the source has them."""
    identify = partial(_id_of, known={patch for patch, _domain, _zone in patches})
    if dates := kit_extras.dates(source, identify=identify):
        _add_file(target, kit_extras.DATES_NAME, kit_extras.dates_csv(dates))
    rows = []
    folder = kit_extras.SERIES_FOLDER
    for patch, content, days in kit_extras.series(source, patches, identify=identify):
        _add_file(target, f"{folder}/{patch}.npy", content)
        rows.append([patch, " ".join(days)])
    if rows:
        _add_file(target, f"{folder}/dates.csv", write_csv(["patch", "dates"], rows).encode())


def _image(source: _Source, name: str, spec: TaskSpec, *, may_be_mask: bool) -> bytes:
    """Return a TIFF of the patch's size; ``may_be_mask``: whatever its bands. Raises Refusal."""
    data = source.read(name)
    wanted = (spec.patch_height_px, spec.patch_width_px)
    limit_mb = MAX_IMAGE_BYTES // 1_000_000
    facts: Mapping[str, object] = {
        "file": name, "height": wanted[0], "width": wanted[1], "limit_mb": limit_mb,
    }  # fmt: skip
    if len(data) > MAX_IMAGE_BYTES:
        raise refuse("kit-image-unusable", found=f"> {limit_mb} MB", **facts)
    try:
        tags = tiff_directory.read(data, max_blocks=1 << 20)
        size = tuple(tiff_directory.single_value(tags, tag) for tag in (Tag.LENGTH, Tag.WIDTH))
        bands = tiff_directory.single_value(tags, Tag.SAMPLES, default=1)
        bits = tags.get(Tag.BITS, (1,))
    except Refused as error:
        raise refuse("kit-image-unusable", found=error.problem.message, **facts) from error
    if size != wanted:
        raise refuse("kit-image-unusable", found=f"{size[0]} × {size[1]} px", **facts)
    if bands == 1 and max(bits) <= 8 and not may_be_mask:
        raise refuse("kit-image-like-mask", file=name)
    return data


def _add_file(target: _Kit, name: str, content: bytes) -> None:
    """Store a file as it is: images are compressed already."""
    assert target.fp is not None
    if target.fp.tell() + len(content) > target.limit_bytes:
        raise refuse("kit-too-large", limit_gb=target.limit_bytes // 10**9)
    member = zipfile.ZipInfo(name, MOMENT)
    member.external_attr = 0o644 << 16
    target.writestr(member, content, compress_type=zipfile.ZIP_STORED)


def _store(phase: Phase, file: IO[bytes], contents: _Contents, actor: User | None) -> Published:
    """Put the zip into storage under its digest, then name it in the phase's row."""
    size_bytes = file.seek(0, 2)
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    sha256 = digest.hexdigest()
    before = PracticeKit.objects.filter(phase=phase).first()
    same = before is not None and before.sha256 == sha256
    if before is not None and same and default_storage.exists(before.stored_name):
        return Published(before, changed=False)
    file.seek(0)
    name = f"{FOLDER}/{phase.challenge.slug}-{phase.slug}-{sha256[:16]}.zip"
    stored = default_storage.save(name, File(file))
    try:
        with transaction.atomic():
            kit, _created = PracticeKit.objects.update_or_create(
                phase=phase,
                defaults={
                    "stored_name": stored,
                    "sha256": sha256,
                    "size_bytes": size_bytes,
                    "image_count": len(contents.images),
                    "example_count": len(contents.examples()),
                    "published_at": timezone.now(),
                },
            )
            audit.record(
                "kit.publish", actor=actor, challenge=phase.challenge, target=phase,
                sha256=sha256, bytes=size_bytes,
            )  # fmt: skip
            if before is not None:
                transaction.on_commit(partial(default_storage.delete, before.stored_name))
            galleries.refresh(phase)
    except BaseException:
        default_storage.delete(stored)
        raise
    return Published(kit, changed=True)
