"""The end of a zip archive: how many entries, where its directory is. Read before all else.

Source: PKWARE APPNOTE 6.3.10, sections 4.3.14 to 4.3.16. Where readers differ in which end record
they believe, the archive is refused.
"""

from __future__ import annotations

import os
import re
import struct
from typing import NamedTuple

from scoring.engine.archive.formats import format_name
from scoring.engine.problems.problems import Refused

_EOCD = struct.Struct("<4s4H2LH")
_EOCD64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_MAX_COMMENT_BYTES = 65_535
_MAX_PADDING_BYTES = 64 * 2**20  # zeros behind the end that are looked through
_BLOCK_BYTES = 2**20


class _EndRecord(NamedTuple):
    """Fields of an end record, in the order of both its forms (APPNOTE 4.3.14, 4.3.16)."""

    disk: int
    directory_disk: int
    entries_here: int
    entries: int
    directory_bytes: int
    directory_offset: int


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
    position = _find_end_record(fd, tail, head)
    end_offset = size - tail_bytes + position
    record = _EndRecord(*_EOCD.unpack_from(tail, position)[1:7])
    record, directory_end = _with_zip64(fd, end_offset, record)
    if record.disk or record.directory_disk or record.entries_here != record.entries:
        raise Refused.of("archive-multi-disk")
    _check_directory_end(fd, record, directory_end, head)
    return record.entries, record.directory_offset, record.directory_bytes


def _find_end_record(fd: int, tail: bytes, head: bytes) -> int:
    """The position in `tail` of the only end record whose comment ends with the file."""
    candidates = [m.start() for m in re.finditer(b"PK\x05\x06", tail)]
    complete = [at for at in candidates if at + _EOCD.size <= len(tail)]
    ends = [at for at in complete if _announced_end(tail, at) == len(tail)]
    if not ends:
        raise _without_end(fd, tail, head, complete)
    # Many readers take the last signature that they find, whatever length its comment has.
    if len(ends) > 1 or candidates[-1] != ends[0]:
        raise damaged("two end records are possible")
    return ends[0]


def _announced_end(tail: bytes, at: int) -> int:
    """Where the comment of the end record at `at` ends, by its own length field."""
    return at + _EOCD.size + int.from_bytes(tail[at + 20 : at + 22], "little")


def _without_end(fd: int, tail: bytes, head: bytes, complete: list[int]) -> Refused:
    """What is wrong with a file that ends in no end record; `complete` are records before it."""
    if head[:4] not in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06"):
        return Refused.of("archive-not-zip", format=format_name(head))
    size = os.fstat(fd).st_size
    padded_end = _end_before_zeros(fd, size)
    if padded_end is not None:
        return Refused.of("archive-zero-padding", count=size - padded_end, size_bytes=padded_end)
    if complete and (end := _announced_end(tail, complete[-1])) < len(tail):
        return Refused.of("archive-suffix-bytes", count=len(tail) - end)
    return Refused.of("archive-truncated")


def _end_before_zeros(fd: int, size: int) -> int | None:
    """Where the archive ends that zeros alone follow, up to the file's end; None if there is none.

    Of zeros, ``_MAX_PADDING_BYTES`` are looked through.
    """
    content_end = size
    while content_end > max(0, size - _MAX_PADDING_BYTES):
        at = max(0, content_end - _BLOCK_BYTES)
        kept = len(pread(fd, content_end - at, at).rstrip(b"\0"))
        content_end = at + kept
        if kept:
            break
    # The end record's own last bytes may be zeros, too.
    at = max(0, content_end - _EOCD.size - _MAX_COMMENT_BYTES)
    tail = pread(fd, min(size, content_end + _EOCD.size) - at, at)
    position = tail.rfind(b"PK\x05\x06")
    if position < 0 or position + _EOCD.size > len(tail):
        return None
    end = at + _announced_end(tail, position)
    return end if content_end <= end < size else None


def _with_zip64(fd: int, end_offset: int, record: _EndRecord) -> tuple[_EndRecord, int]:
    """(the end record with zip64 values where there are any, where the directory must end)."""
    locator = pread(fd, _LOCATOR64.size, end_offset - 20) if end_offset >= 20 else b""
    if locator[:4] == b"PK\x06\x07":
        return _read_zip64(fd, end_offset, locator, record)
    if 0xFFFF in record[:4] or 0xFFFFFFFF in record[4:]:
        raise damaged("the zip64 end record is missing or misplaced")
    return record, end_offset


def _read_zip64(
    fd: int, end_offset: int, locator: bytes, short: _EndRecord
) -> tuple[_EndRecord, int]:
    _, record_disk, record_offset, disks = _LOCATOR64.unpack(locator)
    if record_disk or disks > 1:
        raise Refused.of("archive-multi-disk")
    record_bytes = end_offset - _LOCATOR64.size - record_offset
    data = pread(fd, _EOCD64.size, record_offset) if record_bytes >= _EOCD64.size else b""
    if len(data) != _EOCD64.size or data[:4] != b"PK\x06\x06":
        raise damaged("the zip64 end record is missing or misplaced")
    _, rest_bytes, _, _, *fields = _EOCD64.unpack(data)
    if rest_bytes + 12 != record_bytes:
        raise damaged("the zip64 end record is missing or misplaced")
    long = _EndRecord(*fields)
    sentinels = (0xFFFF,) * 4 + (0xFFFFFFFF,) * 2
    for short_value, long_value, sentinel in zip(short, long, sentinels, strict=True):
        if short_value not in (long_value, sentinel):
            raise damaged("the end record and its zip64 form differ")
    return long, record_offset


def _check_directory_end(fd: int, record: _EndRecord, directory_end: int, head: bytes) -> None:
    """The directory must end where the end records begin."""
    gap = directory_end - (record.directory_offset + record.directory_bytes)
    is_shifted = gap > 0 and head[:2] != b"PK"
    shifted_offset = directory_end - record.directory_bytes
    if is_shifted and _has_directory(fd, shifted_offset, record.directory_bytes):
        raise Refused.of("archive-prefix-bytes", count=gap)
    if gap:
        raise damaged("the directory is not where the end record says")


def _has_directory(fd: int, offset: int, size: int) -> bool:
    return size >= 4 and offset >= 0 and pread(fd, 4, offset) == b"PK\x01\x02"


def damaged(what: str) -> Refused:
    """The archive contradicts itself in the way that the phrase `what` says."""
    return Refused.of("archive-damaged", what=what)
