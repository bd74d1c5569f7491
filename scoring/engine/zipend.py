"""The end of a zip archive: how many entries, where its directory is. Read before all else.

Source: PKWARE APPNOTE 6.3.10, sections 4.3.14 to 4.3.16. Where readers differ in which end record
they believe, the archive is refused.
"""

from __future__ import annotations

import os
import re
import struct

from scoring.engine.formats import format_name
from scoring.engine.problems import Refused

_EOCD = struct.Struct("<4s4H2LH")
_EOCD64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_MAX_COMMENT_BYTES = 65_535


def pread(fd: int, size: int, offset: int) -> bytes:
    """``os.pread``, also where the system has none."""
    if hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, size)


def read(fd: int, size: int) -> tuple[int, int, int]:
    """(entries, directory offset, directory bytes) of the archive of `size` bytes open as `fd`.

    Raises Refused when the file is no zip or its end is missing, ambiguous or split.
    """
    head = pread(fd, 512, 0)
    if head[:4] in (b"PK\x07\x08", b"PK00"):
        raise Refused.of("archive-multi-disk")
    tail_bytes = min(size, _EOCD.size + _MAX_COMMENT_BYTES)
    tail = pread(fd, tail_bytes, size - tail_bytes)
    candidates = [m.start() for m in re.finditer(b"PK\x05\x06", tail)]
    ends = [
        at
        for at in candidates
        if at + _EOCD.size <= len(tail)
        and at + _EOCD.size + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail)
    ]
    starts_as_zip = head[:4] in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06")
    if not ends:
        if not starts_as_zip:
            raise Refused.of("archive-not-zip", format=format_name(head))
        complete = [at for at in candidates if at + _EOCD.size <= len(tail)]
        if complete:
            at = complete[-1]
            wanted = at + _EOCD.size + int.from_bytes(tail[at + 20 : at + 22], "little")
            if wanted < len(tail):
                raise Refused.of("archive-suffix-bytes", count=len(tail) - wanted)
        raise Refused.of("archive-truncated")
    # Many readers take the last signature that they find, whatever length its comment has.
    if len(ends) > 1 or candidates[-1] != ends[0]:
        raise damaged("two end records are possible")
    at = ends[0]
    end_offset = size - tail_bytes + at
    (_, disk, directory_disk, here, total, directory_bytes, directory_offset, _) = (
        _EOCD.unpack_from(tail, at)
    )
    values: tuple[int, ...] = (
        disk, directory_disk, here, total, directory_bytes, directory_offset,
    )  # fmt: skip
    boundary = end_offset
    locator = pread(fd, _LOCATOR64.size, end_offset - 20) if end_offset >= 20 else b""
    if locator[:4] == b"PK\x06\x07":
        values, boundary = _end64(fd, end_offset, locator, values)
    elif 0xFFFF in values[:4] or 0xFFFFFFFF in values[4:]:
        raise damaged("the zip64 end record is missing or misplaced")
    disk, directory_disk, here, total, directory_bytes, directory_offset = values
    if disk or directory_disk or here != total:
        raise Refused.of("archive-multi-disk")
    gap = boundary - (directory_offset + directory_bytes)
    shifted = gap > 0 and head[:2] != b"PK"
    if shifted and _has_directory(fd, boundary - directory_bytes, directory_bytes):
        raise Refused.of("archive-prefix-bytes", count=gap)
    if gap:
        raise damaged("the directory is not where the end record says")
    return total, directory_offset, directory_bytes


def _end64(
    fd: int, end_offset: int, locator: bytes, short: tuple[int, ...]
) -> tuple[tuple[int, ...], int]:
    _, record_disk, record_offset, disks = _LOCATOR64.unpack(locator)
    if record_disk or disks > 1:
        raise Refused.of("archive-multi-disk")
    record_bytes = end_offset - _LOCATOR64.size - record_offset
    record = pread(fd, _EOCD64.size, record_offset) if record_bytes >= _EOCD64.size else b""
    if len(record) != _EOCD64.size or record[:4] != b"PK\x06\x06":
        raise damaged("the zip64 end record is missing or misplaced")
    (_, rest_bytes, _, _, disk, directory_disk, here, total, directory_bytes, offset) = (
        _EOCD64.unpack(record)
    )
    if rest_bytes + 12 != record_bytes:
        raise damaged("the zip64 end record is missing or misplaced")
    long = (disk, directory_disk, here, total, directory_bytes, offset)
    sentinels = (0xFFFF,) * 4 + (0xFFFFFFFF,) * 2
    for a, b, sentinel in zip(short, long, sentinels, strict=True):
        if a not in (b, sentinel):
            raise damaged("the end record and its zip64 form differ")
    return long, record_offset


def _has_directory(fd: int, offset: int, size: int) -> bool:
    return size >= 4 and offset >= 0 and pread(fd, 4, offset) == b"PK\x01\x02"


def damaged(what: str) -> Refused:
    """The archive contradicts itself in the way that the phrase `what` says."""
    return Refused.of("archive-damaged", what=what)
