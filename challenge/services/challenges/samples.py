"""What a sample archive of predictions tells of a task: size of patches, names, ids.

Only the zip's directory and the TIFF tags of its first file are read, by the strict readers that
read submissions; no pixel is decoded here.
"""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scoring.engine.archive import tiff_directory, zip_directory
from scoring.engine.archive.tiff_directory import Tag
from scoring.engine.problems.problems import ProblemList, Refused

MAX_FILES = 100_000
MAX_RASTER_BYTES = 64_000_000
SUFFIXES = (".tif", ".tiff")
ANY_ID = "[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"


@dataclass(frozen=True)
class Sample:
    """``pattern`` finds the id in a file's name without extension; ``ids`` are those found."""

    height_px: int
    width_px: int
    pattern: str
    prediction_name: str
    ids: tuple[str, ...]

    def ids_csv(self) -> str:
        """Return the list of patches as the challenge's folder has it; no domains, no zones."""
        return "domain,zone,patch\n" + "".join(f",,{one}\n" for one in self.ids)


def read(path: Path) -> Sample:
    """Read a sample archive. Raises `Refused` with the problem that a submission would have."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        problems = ProblemList()
        entries = zip_directory.read(
            fd, max_entries=MAX_FILES, example="PRED_000001.tif", problems=problems
        )
        if problems.listed:
            raise Refused(problems.listed[0])
        rasters = [
            entry
            for entry in entries
            if not entry.is_folder and PurePosixPath(entry.name).suffix.lower() in SUFFIXES
        ]
        if not rasters:
            raise Refused.of("archive-no-entries")
        tags = _tags(fd, rasters[0])
    finally:
        os.close(fd)
    names = [PurePosixPath(entry.name) for entry in rasters]
    head, tail, pattern = infer_pattern([name.stem for name in names])
    ids = sorted({name.stem[len(head) : len(name.stem) - len(tail)] for name in names})
    return Sample(
        height_px=tiff_directory.single_value(tags, Tag.LENGTH),
        width_px=tiff_directory.single_value(tags, Tag.WIDTH),
        pattern=pattern,
        prediction_name=f"{head}{{id}}{tail}{names[0].suffix}",
        ids=tuple(ids),
    )


def infer_pattern(stems: list[str]) -> tuple[str, str, str]:
    """Return what stands before the ids in file names, what stands after, and a pattern.

    Ids begin after an underscore, so that one is not cut into: "PRED_0617" is common to two names,
    and their ids are not "14" and "20".

    >>> infer_pattern(["PRED_061714", "PRED_061720"])
    ('PRED_', '', 'PRED_(?P<id>[0-9]{6})')
    >>> infer_pattern(["SITE-A_r00_c00", "SITE-A_r00_c01"])[:2]
    ('', '')
    """
    common = _common_start(stems)
    words = re.match(r"(?:[A-Za-z]+_)*", common)
    head = words[0] if words else ""
    backwards = _common_start([stem[len(head) :][::-1] for stem in stems])[::-1]
    words = re.search(r"(?:_[A-Za-z]+)*$", backwards)
    tail = words[0] if words else ""
    ids = [stem[len(head) : len(stem) - len(tail)] for stem in stems]
    if not all(ids):
        head, tail, ids = "", "", stems
    lengths = {len(one) for one in ids}
    digits = all(one.isascii() and one.isdigit() for one in ids)
    found = f"[0-9]{{{lengths.pop()}}}" if digits and len(lengths) == 1 else ANY_ID
    return head, tail, f"{re.escape(head)}(?P<id>{found}){re.escape(tail)}"


def _common_start(texts: list[str]) -> str:
    """Return what all texts begin with: what the first and the last in order have in common."""
    first, last = min(texts), max(texts)
    length = next(
        (at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    return first[:length]


def _tags(fd: int, entry: zip_directory.Entry) -> tiff_directory.Tags:
    """Return the TIFF tags of one file of the archive."""
    if entry.size_bytes > MAX_RASTER_BYTES or entry.compressed_bytes > MAX_RASTER_BYTES:
        raise Refused.of(
            "member-too-large", file=entry.name, size_bytes=entry.size_bytes,
            limit_bytes=MAX_RASTER_BYTES,
        )  # fmt: skip
    data = os.pread(fd, entry.compressed_bytes, entry.data_offset)
    if entry.method == zip_directory.DEFLATED:
        try:
            data = zlib.decompressobj(-15).decompress(data, entry.size_bytes or 1)
        except zlib.error as error:
            raise Refused.of("member-damaged", file=entry.name, what=str(error)) from error
    return tiff_directory.read(data, max_blocks=1 << 20)
