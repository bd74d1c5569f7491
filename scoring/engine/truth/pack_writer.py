"""Writes a packed ground truth; `store` describes the format and reads it."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import IO, TypedDict

import numpy as np
from numpy.typing import NDArray

from scoring.engine.task.specification import ILLEGAL_LABEL, TaskSpec

MAGIC = b"FLAIRGT1"
TAIL = struct.Struct("<QQ8s")  # offset and size of the index, magic
_LONGEST_RUN = 65_535

# id, domain, zone, offset, number of runs, CRC-32 and canonical digest of one record.
Row = tuple[str, str, str, int, int, int, str]


class Index(TypedDict):
    """The JSON at the end of a packed file; rows in order of ids."""

    digest: str
    height_px: int
    width_px: int
    label_values: list[int]
    label_table: list[int]
    patches: list[Row]


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What a packed file holds; ``digest`` depends on the masks alone, not on their files."""

    digest: str
    patch_ids: tuple[str, ...]
    domains: Mapping[str, str]
    zones: Mapping[str, str]
    file_bytes: int
    raw_bytes: int
    label_pixels: Mapping[int, int]  # of every label of the task, in all masks


class PackWriter:
    """Writes a packed file record by record; patches in any order."""

    def __init__(self, file: IO[bytes], *, spec: TaskSpec) -> None:
        self._file = file
        self._spec = spec
        self._index_of = np.full(256, ILLEGAL_LABEL, dtype=np.uint8)
        self._index_of[list(spec.label_values)] = np.arange(len(spec.label_values))
        self._rows: list[Row] = []
        self._pixels_of_index = np.zeros(len(spec.label_values), dtype=np.int64)
        self._file.write(MAGIC)
        self._offset = len(MAGIC)

    def add(self, patch_id: str, domain: str, zone: str, mask: NDArray[np.uint8]) -> None:
        """Write one mask, uint8[H, W] of legal labels."""
        flat = self._index_of[mask].ravel()
        lengths, values = _runs(flat)
        canonical = _canonical(lengths, values)
        np.add.at(self._pixels_of_index, values, lengths)
        lengths, values = _split(lengths, values)
        n_runs = len(values)
        if 3 * n_runs >= flat.size:
            n_runs, data = 0, flat.tobytes()
        else:
            data = lengths.astype("<u2").tobytes() + values.tobytes()
        self._file.write(data)
        crc = zlib.crc32(data)
        row = (patch_id, domain, zone, self._offset, n_runs, crc, canonical)
        self._rows.append(row)
        self._offset += len(data)

    def write_index(self) -> StoreInfo:
        """Write the index and the tail; the file is then complete."""
        rows = sorted(self._rows)
        spec = self._spec
        shape = spec.patch_height_px, spec.patch_width_px
        digest = rows_digest(rows, shape=shape, label_values=spec.label_values)
        index: Index = {
            "digest": digest,
            "height_px": spec.patch_height_px,
            "width_px": spec.patch_width_px,
            "label_values": list(spec.label_values),
            "label_table": spec.label_table.tolist(),
            "patches": rows,
        }
        data = zlib.compress(json.dumps(index).encode())
        self._file.write(data)
        self._file.write(TAIL.pack(self._offset, len(data), MAGIC))
        return StoreInfo(
            digest=digest,
            patch_ids=tuple(row[0] for row in rows),
            domains={row[0]: row[1] for row in rows},
            zones={row[0]: row[2] for row in rows},
            file_bytes=self._offset + len(data) + TAIL.size,
            raw_bytes=len(rows) * spec.patch_pixels,
            label_pixels=dict(zip(spec.label_values, self._pixels_of_index.tolist(), strict=True)),
        )


def rows_digest(rows: Iterable[Row], *, shape: tuple[int, int], label_values: Iterable[int]) -> str:
    """Return the digest of a packed file's masks, of its rows in order of ids."""
    whole = hashlib.sha256(json.dumps([*shape, list(label_values)]).encode())
    for row in rows:
        whole.update(json.dumps([row[0], row[1], row[2], row[6]]).encode())
    return whole.hexdigest()


def mask_digest(indices: NDArray[np.uint8]) -> str:
    """Return the canonical digest of one mask, uint8[H, W] of label indices."""
    return _canonical(*_runs(indices.ravel()))


def _canonical(lengths: NDArray[np.int64], values: NDArray[np.uint8]) -> str:
    return hashlib.sha256(lengths.astype("<u4").tobytes() + values.tobytes()).hexdigest()


def _runs(flat: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    return np.diff(np.concatenate((starts, [flat.size]))), flat[starts]


def _split(
    lengths: NDArray[np.int64], values: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Cut runs that are too long for uint16."""
    if int(lengths.max()) <= _LONGEST_RUN:
        return lengths, values
    parts = -(-lengths // _LONGEST_RUN)
    cut = np.full(int(parts.sum()), _LONGEST_RUN, dtype=np.int64)
    cut[np.cumsum(parts) - 1] = lengths - (parts - 1) * _LONGEST_RUN
    return cut, np.repeat(values, parts)
