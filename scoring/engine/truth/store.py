"""Packed ground truth: every mask of a challenge in one file, quick to read patch by patch.

The unreduced labels are kept, so that a changed reduction needs no new pack. A record is the
run lengths of the flattened mask: 3 bytes a run, about 4 % of the raw size for land cover.

File: magic, records, zlib of a JSON footer with the index, 16 bytes (offset, size) and magic.
Record: uint16 lengths[runs], uint8 label indices[runs]; or uint8 indices[pixels] where that is
smaller. A label index is a position in the sorted legal mask values.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Self, cast

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from scoring.engine.task.specification import ILLEGAL_LABEL, Patch, TaskSpec
from scoring.engine.truth import pack_writer
from scoring.engine.truth.pack_writer import TAIL, Index, PackWriter

MAGIC = pack_writer.MAGIC
StoreInfo = pack_writer.StoreInfo


class StoreError(ValueError):
    """Masks or a packed file that cannot be used; the message names the file."""

    def __init__(self, file: str, message: str) -> None:
        super().__init__(f"{file}: {message}")
        self.file = file
        self.message = message


class PackedTruth:
    """A packed file, open for reading. Zone names are ``domain/zone``, unique in the set.

    Threads may read from it at the same time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            index = _read_index(self._file, path)
        except BaseException:
            os.close(self._file)
            raise
        self.digest: str = index["digest"]
        self.shape: tuple[int, int] = (index["height_px"], index["width_px"])
        self.label_values: tuple[int, ...] = tuple(index["label_values"])
        self.label_table: NDArray[np.uint8] = np.array(index["label_table"], dtype=np.uint8)
        self.ids: tuple[str, ...] = tuple(row[0] for row in index["patches"])
        self.domain_of: dict[str, str] = {row[0]: row[1] for row in index["patches"]}
        self.zone_of: dict[str, str] = {row[0]: row[2] for row in index["patches"]}
        self._records = {row[0]: (row[3], row[4], row[5]) for row in index["patches"]}
        self._class_of_index = self.label_table[list(self.label_values)]

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Raises `StoreError` if it is not a packed file."""
        return cls(Path(path))

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, patch_id: str) -> NDArray[np.uint8]:
        """uint8[H, W] of class ids, by the reduction that the file was packed with.

        Raises as `read_record`, like the two below.
        """
        return self._class_of_index[self.read_indices(patch_id)]

    def read_labels(self, patch_id: str) -> NDArray[np.uint8]:
        """uint8[H, W] of the mask's own values."""
        values = np.array(self.label_values, dtype=np.uint8)
        return values[self.read_indices(patch_id)]

    def read_indices(self, patch_id: str) -> NDArray[np.uint8]:
        """uint8[H, W] of positions in ``label_values``."""
        data, n_runs = self.read_record(patch_id)
        if not n_runs:
            return np.frombuffer(data, dtype=np.uint8).reshape(self.shape)
        lengths = np.frombuffer(data, dtype="<u2", count=n_runs)
        indices = np.frombuffer(data, dtype=np.uint8, offset=2 * n_runs)
        return np.repeat(indices, lengths).reshape(self.shape)

    def read_record(self, patch_id: str) -> tuple[bytes, int]:
        """The stored record and its number of runs, 0 where it holds an index for every pixel.

        Raises KeyError for an unknown id, `StoreError` for a damaged record.
        """
        offset, n_runs, crc = self._records[patch_id]
        size = 3 * n_runs if n_runs else self.shape[0] * self.shape[1]
        data = os.pread(self._file, size, offset)
        if len(data) != size or isal_zlib.crc32(data) != crc:
            raise StoreError(self.path.name, f"the record of patch {patch_id} is damaged")
        return data, n_runs


def check_fits(truth: PackedTruth, *, spec: TaskSpec) -> None:
    """Raises `StoreError` if the packed masks are not of this task's shape and labels."""
    shape = (spec.patch_height_px, spec.patch_width_px)
    if truth.shape != shape:
        raise StoreError(
            truth.path.name, f"holds patches of {truth.shape} pixels; {spec.id} wants {shape}"
        )
    foreign = sorted(set(truth.label_values) - set(spec.label_values))
    if foreign:
        raise StoreError(truth.path.name, f"was packed with labels {spec.id} has not: {foreign}")


def pack(
    labels_dir: str | Path,
    out_path: str | Path,
    *,
    spec: TaskSpec,
    ids: Iterable[str] | None = None,
    domains: Mapping[str, tuple[str, str]] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> StoreInfo:
    """Check every mask below ``labels_dir`` and pack them; nothing is left behind on an error.

    ``ids`` are the expected patches (default: the specification's, else all that are found).
    ``domains`` maps a patch id to (domain, zone); by default they come from the specification's
    list, else from the folder names (``D012_2019/Z1_UU/…``).
    Raises `StoreError` naming the file: wrong shape, type or bands, illegal label, unreadable,
    missing, unknown or twice the same id.
    """
    files = find_masks(labels_dir, spec=spec)
    wanted = list(ids) if ids is not None else [p.id for p in spec.expected] or sorted(files)
    _check_complete(files, wanted, labels_dir=Path(labels_dir))
    located = _domains_and_zones(files, wanted, spec=spec, domains=domains)
    out = Path(out_path)
    with _temporary(out) as file:
        writer = PackWriter(file, spec=spec)
        for done, patch_id in enumerate(sorted(wanted), start=1):
            mask = read_mask(files[patch_id], spec=spec)
            writer.add(patch_id, *located[patch_id], mask)
            if on_progress is not None:
                on_progress(done, len(wanted))
        return writer.write_index()


@contextlib.contextmanager
def new_pack(out_path: Path, *, spec: TaskSpec) -> Iterator[PackWriter]:
    """Give a writer of a packed file that is in place once all went well, and only then."""
    with _temporary(out_path) as file:
        writer = PackWriter(file, spec=spec)
        yield writer
        writer.write_index()


def locate(patch: Patch, *, name: str) -> tuple[str, str]:
    """Return (domain, domain/zone) of a mask: the patch's own, else those of its file's folders."""
    domain, zone = (patch.domain, patch.zone) if patch.domain else _from_folders(Path(name))
    return domain, _zone(domain, zone)


def verify(path: Path) -> StoreInfo:
    """Read every mask of a packed file and compute its digest anew from the pixels.

    Raises StoreError where a record is damaged, or the masks are not those that it announces.
    """
    with PackedTruth.open(path) as truth:
        rows = _read_index(truth._file, path)["patches"]
        pixels = np.zeros(len(truth.label_values), dtype=np.int64)
        computed: list[pack_writer.Row] = []
        for row in rows:
            indices = truth.read_indices(row[0])
            if int(indices.max()) >= len(pixels):
                raise StoreError(path.name, f"patch {row[0]} has a label that is none")
            pixels += np.bincount(indices.ravel(), minlength=len(pixels))
            computed.append((*row[:6], pack_writer.mask_digest(indices)))
        digest = pack_writer.rows_digest(
            computed, shape=truth.shape, label_values=truth.label_values
        )
        if digest != truth.digest:
            raise StoreError(path.name, "its masks are not those that its digest is of")
        return StoreInfo(
            digest=digest,
            patch_ids=truth.ids,
            domains=truth.domain_of,
            zones=truth.zone_of,
            file_bytes=path.stat().st_size,
            raw_bytes=len(truth.ids) * truth.shape[0] * truth.shape[1],
            label_pixels=dict(zip(truth.label_values, pixels.tolist(), strict=True)),
        )


def find_masks(labels_dir: str | Path, *, spec: TaskSpec) -> dict[str, Path]:
    """Patch id → mask file, at any depth. Raises `StoreError` on none or on a duplicate."""
    root = Path(labels_dir)
    masks: dict[str, Path] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in (".tif", ".tiff"):
            continue
        patch_id = spec.truth_id(path.stem)
        if patch_id is None:
            continue
        if patch_id in masks:
            raise StoreError(
                str(path.relative_to(root)),
                f"patch {patch_id} was already found at {masks[patch_id].relative_to(root)}",
            )
        masks[patch_id] = path
    if not masks:
        raise StoreError(str(root), "holds no mask whose name fits the pattern of the truth")
    return masks


def read_mask(path: Path, *, spec: TaskSpec) -> NDArray[np.uint8]:
    """uint8[H, W] of the mask's own values, checked. Raises `StoreError` naming the file."""
    import rasterio  # takes half a second, which those who only read a pack need not pay
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    shape = (spec.patch_height_px, spec.patch_width_px)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            source = rasterio.open(path, driver="GTiff")
        with source:
            if source.count != 1 or source.dtypes[0] != "uint8":
                raise StoreError(
                    path.name,
                    f"has {source.count} band(s) of {source.dtypes[0]}; one of uint8 is wanted",
                )
            if source.shape != shape:
                raise StoreError(
                    path.name,
                    f"is {source.shape} pixels (rows, columns); wanted are {shape}",
                )
            mask: NDArray[np.uint8] = source.read(1)
    except RasterioError as error:
        raise StoreError(path.name, f"cannot be read as a GeoTIFF: {error}") from error
    illegal = spec.label_table[mask] == ILLEGAL_LABEL
    if illegal.any():
        values, counts = np.unique(mask[illegal], return_counts=True)
        listed = ", ".join(f"{v} ({n} px)" for v, n in zip(values, counts, strict=True))
        raise StoreError(
            path.name,
            f"holds illegal labels: {listed}; allowed are {list(spec.label_values)}",
        )
    return mask


def from_arrays(
    masks: Iterable[tuple[Patch, NDArray[np.uint8]]],
    out_path: str | Path,
    *,
    spec: TaskSpec,
) -> StoreInfo:
    """Pack masks uint8[H, W] of labels that are in memory, in any order of ids."""
    with _temporary(Path(out_path)) as file:
        writer = PackWriter(file, spec=spec)
        for patch, mask in masks:
            writer.add(patch.id, patch.domain, _zone(patch.domain, patch.zone), mask)
        return writer.write_index()


def _read_index(file: int, path: Path) -> Index:
    """The index of a packed file, not checked in detail: only `pack` writes such files."""
    size = os.fstat(file).st_size
    tail = os.pread(file, TAIL.size, max(0, size - TAIL.size))
    if len(tail) == TAIL.size:
        offset, length, magic = TAIL.unpack(tail)
        if magic == MAGIC and offset + length + TAIL.size == size:
            return cast("Index", json.loads(zlib.decompress(os.pread(file, length, offset))))
    raise StoreError(path.name, "is not a packed ground truth, or it is cut short")


def _zone(domain: str, zone: str) -> str:
    return f"{domain}/{zone}" if domain else zone


def _domains_and_zones(
    files: Mapping[str, Path],
    wanted: Iterable[str],
    *,
    spec: TaskSpec,
    domains: Mapping[str, tuple[str, str]] | None,
) -> dict[str, tuple[str, str]]:
    """Patch id → (domain, domain/zone)."""
    listed = dict(domains or {p.id: (p.domain, p.zone) for p in spec.expected if p.domain})
    located = {}
    for patch_id in wanted:
        domain, zone = listed.get(patch_id) or _from_folders(files[patch_id])
        located[patch_id] = (domain, _zone(domain, zone))
    return located


def _from_folders(path: Path) -> tuple[str, str]:
    """(domain, zone) of a path such as ``D012_2019/Z1_UU/msk/MSK_000001.tif``."""
    domain = zone = ""
    for folder in path.parts[:-1]:
        if len(folder) == 9 and folder[0] == "D" and folder[4] == "_":
            domain, zone = folder, ""
        elif domain and not zone and folder[0] == "Z" and "_" in folder:
            zone = folder
    return domain, zone


def _check_complete(files: Mapping[str, Path], wanted: list[str], *, labels_dir: Path) -> None:
    if len(set(wanted)) != len(wanted):
        repeated = next(i for i in wanted if wanted.count(i) > 1)
        raise StoreError(str(labels_dir), f"patch {repeated} is expected twice")
    missing = [i for i in wanted if i not in files]
    if missing:
        first = ", ".join(missing[:10])
        raise StoreError(
            str(labels_dir),
            f"{len(missing)} of {len(wanted)} masks are missing: {first}",
        )
    unknown = sorted(set(files) - set(wanted))
    if unknown:
        raise StoreError(
            files[unknown[0]].name,
            f"and {len(unknown) - 1} other masks are not expected",
        )


@contextlib.contextmanager
def _temporary(out: Path) -> Iterator[IO[bytes]]:
    """A file that becomes ``out`` only if all went well."""
    unfinished = out.with_name(f".{out.name}.{secrets.token_hex(8)}")
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
