"""A strict reader of zip directories: one archive, one meaning.

The end record comes first (how many entries?), then the central directory, then every local
header is compared with it; entries must tile the file from its first byte to the directory
without gap or overlap. So no two readers can see different content, and nothing is inflated here.

Source: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5; the deviations of real readers are why
ambiguous archives are refused instead of repaired.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from dataclasses import dataclass

from scoring.engine.problems import Problem, Refused

MAX_NAME_BYTES = 1024
DIRECTORY_BYTES_PER_ENTRY = 1024
MAX_DEFLATE_RATIO = 1032  # deflate's own limit: 258 bytes for a little less than 2 bits
STORED, DEFLATED = 0, 8

_EOCD = struct.Struct("<4s4H2LH")
_EOCD64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s2B4HL2L2H")
_MAX_COMMENT_BYTES = 65_535
_FLAG_ENCRYPTED, _FLAG_DESCRIPTOR, _FLAG_UTF8 = 0x0001, 0x0008, 0x0800
_FLAG_STRONG_OR_MASKED = 0x0040 | 0x2000
_FLAGS_KNOWN = 0x0006 | _FLAG_DESCRIPTOR | _FLAG_UTF8 | _FLAG_ENCRYPTED | _FLAG_STRONG_OR_MASKED
_METHODS = {
    1: "shrink", 6: "implode", 9: "deflate64", 10: "DCL implode", 12: "bzip2", 14: "LZMA",
    20: "zstd", 93: "zstd", 94: "MP3", 95: "xz", 96: "JPEG", 97: "WavPack", 98: "PPMd",
    99: "AES encryption",
}  # fmt: skip
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_FORMATS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "RAR"),
    (0, b"\x1f\x8b", "gzip (tar.gz)"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (257, b"ustar", "tar"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "BigTIFF"),
    (0, b"MM\x00+", "BigTIFF"),
    (0, b"\x89PNG", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"\x93NUMPY", "NumPy"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"CDF", "NetCDF"),
    (0, b"%PDF", "PDF"),
    (0, b"PK\x07\x08", "split zip"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"\x00\x00\x00\x0cjP", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"<VRTDataset", "VRT"),
    (0, b"<?xml", "XML"),
    (0, b"<", "XML or HTML"),
    (0, b"{", "JSON"),
    (0, b"MZ", "Windows program"),
    (0, b"\x7fELF", "program"),
    (0, b"\x00\x00\x00\x00", "unknown (starts with zeros)"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One checked entry: where its data lie and what they must inflate to."""

    name: str
    data_offset: int
    compressed_bytes: int
    size_bytes: int
    method: int
    crc32: int
    is_folder: bool


@dataclass(slots=True)
class _Central:
    raw_name: bytes
    flags: int
    method: int
    crc32: int
    compressed_bytes: int
    size_bytes: int
    header_offset: int
    mode: int
    name: str


def pread(fd: int, size: int, offset: int) -> bytes:
    """``os.pread``, also where the system has none."""
    if hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, size)


def format_name(head: bytes) -> str:
    """What a file is, judged by its first 512 bytes: "7z", "PNG", "text", … or "unknown"."""
    for offset, magic, name in _FORMATS:
        if head[offset : offset + len(magic)] == magic:
            return name
    stripped = head.lstrip(b" \t\r\n\xef\xbb\xbf")
    if stripped.startswith(b"<"):
        return "XML or HTML"
    if head and all(32 <= c < 127 or c in b"\t\r\n" for c in head):
        return "text"
    return "unknown"


def read(fd: int, *, max_entries: int, example: str) -> tuple[list[Entry], list[Problem]]:
    """Entries of the zip open as `fd`, in file order, and the problems of single entries.

    `example` is a legal name, shown in messages. Raises Refused when the archive as a whole
    cannot be trusted. Nothing is inflated; time and memory are bounded by `max_entries`.
    """
    size = os.fstat(fd).st_size
    if size == 0:
        raise Refused.of("archive-empty-file")
    head = pread(fd, 512, 0)
    if head[:4] == b"PK\x07\x08" or head[:4] == b"PK00":
        raise Refused.of("archive-multi-disk")
    count, directory_offset, directory_bytes = _end(fd, size, head)
    if count > max_entries:
        raise Refused.of("archive-too-many-entries", count=count, limit=max_entries)
    limit = count * DIRECTORY_BYTES_PER_ENTRY + 65_536
    if directory_bytes > limit:
        raise Refused.of(
            "archive-directory-too-large", size_bytes=directory_bytes, count=count,
            limit_bytes=limit,
        )  # fmt: skip
    if count == 0:
        if directory_offset or directory_bytes:
            raise _damaged("the directory is not where the end record says")
        raise Refused.of("archive-no-entries")
    directory = pread(fd, directory_bytes, directory_offset)
    if len(directory) != directory_bytes:
        raise Refused.of("archive-truncated")
    problems: list[Problem] = []
    centrals = _directory(directory, count, problems, example)
    entries = _located(fd, centrals, directory_offset, problems)
    return entries, problems


def _end(fd: int, size: int, head: bytes) -> tuple[int, int, int]:
    """(entries, directory offset, directory bytes) from the end record, zip64 or not."""
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
    if len(ends) > 1:
        raise _damaged("two end records are possible")
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
        raise _damaged("the zip64 end record is missing or misplaced")
    disk, directory_disk, here, total, directory_bytes, directory_offset = values
    if disk or directory_disk or here != total:
        raise Refused.of("archive-multi-disk")
    gap = boundary - (directory_offset + directory_bytes)
    if gap > 0 and _has_directory(fd, boundary - directory_bytes, directory_bytes):
        raise Refused.of("archive-prefix-bytes", count=gap)
    if gap:
        raise _damaged("the directory is not where the end record says")
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
        raise _damaged("the zip64 end record is missing or misplaced")
    (_, rest_bytes, _, _, disk, directory_disk, here, total, directory_bytes, offset) = (
        _EOCD64.unpack(record)
    )
    if rest_bytes + 12 != record_bytes:
        raise _damaged("the zip64 end record is missing or misplaced")
    long = (disk, directory_disk, here, total, directory_bytes, offset)
    sentinels = (0xFFFF,) * 4 + (0xFFFFFFFF,) * 2
    for a, b, sentinel in zip(short, long, sentinels, strict=True):
        if a not in (b, sentinel):
            raise _damaged("the end record and its zip64 form differ")
    return long, record_offset


def _has_directory(fd: int, offset: int, size: int) -> bool:
    return size >= 4 and offset >= 0 and pread(fd, 4, offset) == b"PK\x01\x02"


def _directory(
    directory: bytes, count: int, problems: list[Problem], example: str
) -> list[_Central]:
    found: list[_Central] = []
    at = 0
    for _ in range(count):
        if at + _CENTRAL.size > len(directory):
            raise _damaged("the directory is cut off")
        (
            signature, _, system, _, _, flags, method, _, _, crc32, compressed, size,
            name_bytes, extra_bytes, comment_bytes, disk, _, attributes, offset,
        ) = _CENTRAL.unpack_from(directory, at)  # fmt: skip
        if signature != b"PK\x01\x02":
            raise _damaged("the directory is cut off")
        name_at = at + _CENTRAL.size
        extra_at = name_at + name_bytes
        at = extra_at + extra_bytes + comment_bytes
        if at > len(directory):
            raise _damaged("the directory is cut off")
        raw = directory[name_at:extra_at]
        shown = raw.decode("utf-8" if flags & _FLAG_UTF8 else "cp437", "replace")
        unicode_name = None
        if extra_bytes:
            fields = _extra(directory[extra_at : extra_at + extra_bytes])
            if fields is None:
                problems.append(
                    Problem.of("member-header-mismatch", file=shown, what="extra field")
                )
                continue
            unicode_name = fields.get(0x7075)
            wide = _zip64(fields.get(0x0001), size, compressed, offset, disk)
            if wide is None:
                problems.append(
                    Problem.of("member-header-mismatch", file=shown, what="extra field")
                )
                continue
            size, compressed, offset, disk = wide
        if disk:
            raise Refused.of("archive-multi-disk")
        central = _Central(
            raw, flags, method, crc32, compressed, size, offset,
            attributes >> 16 if system in (3, 19) or attributes >> 28 == 0xA else 0, shown,
        )  # fmt: skip
        problem = _entry_problem(central, unicode_name, example)
        if problem is not None:
            problems.append(problem)
        found.append(central)
    if at != len(directory):
        raise _damaged("the directory has bytes left over")
    return found


def _entry_problem(entry: _Central, unicode_name: bytes | None, example: str) -> Problem | None:
    what = _unsafe_name(entry, unicode_name)
    if what is not None:
        return Problem.of("member-name-unsafe", file=entry.name, what=what, example=example)
    if entry.flags & (_FLAG_ENCRYPTED | _FLAG_STRONG_OR_MASKED) or entry.method == 99:
        return Problem.of("member-encrypted", file=entry.name)
    if entry.method not in (STORED, DEFLATED):
        method = _METHODS.get(entry.method, f"method {entry.method}")
        return Problem.of("member-method", file=entry.name, method=method)
    if entry.flags & ~_FLAGS_KNOWN:
        return Problem.of("member-method", file=entry.name, method=f"flags {entry.flags:#06x}")
    kind = entry.mode & 0o170000
    folder = entry.raw_name.endswith(b"/")
    if kind == 0o120000:
        return Problem.of("member-not-regular", file=entry.name, kind="a symbolic link")
    if kind not in (0, 0o100000, 0o040000):
        return Problem.of("member-not-regular", file=entry.name, kind="a device, socket or pipe")
    if entry.size_bytes and (folder or kind == 0o040000):
        return Problem.of("member-not-regular", file=entry.name, kind="a folder with content")
    stored = entry.method == STORED
    if (stored and entry.size_bytes != entry.compressed_bytes) or not (
        entry.compressed_bytes * MAX_DEFLATE_RATIO >= entry.size_bytes
        and entry.compressed_bytes <= entry.size_bytes * 1.1 + 4096
    ):
        return Problem.of(
            "member-size-impossible",
            file=entry.name,
            compressed_bytes=entry.compressed_bytes,
            size_bytes=entry.size_bytes,
        )
    return None


def _unsafe_name(entry: _Central, unicode_name: bytes | None) -> str | None:
    """Why the name may not be used, None when it may. Sets ``entry.name`` to the name meant."""
    raw = entry.raw_name
    if not raw:
        return "is empty"
    if len(raw) > MAX_NAME_BYTES:
        return "is too long"
    if entry.flags & _FLAG_UTF8:
        try:
            entry.name = raw.decode("utf-8")
        except UnicodeDecodeError:
            return "is not valid UTF-8"
    if unicode_name is not None and unicode_name[:1] == b"\x01":
        checked = int.from_bytes(unicode_name[1:5], "little") == zlib.crc32(raw)
        try:
            second = unicode_name[5:].decode("utf-8")
        except UnicodeDecodeError:
            return "is not valid UTF-8"
        if second != entry.name:
            if raw.isascii() or entry.flags & _FLAG_UTF8 or not checked:
                return "is given twice, differently"
            entry.name = second
    name = entry.name
    if _CONTROL.search(name) and name.rsplit("/", 1)[-1] != "Icon\r":
        return "holds a NUL or control character"
    if "\\" in name:
        return "holds a backslash"
    if name.startswith("/"):
        return "is absolute"
    if _DRIVE.match(name):
        return "holds a drive letter"
    if ".." in name.split("/"):
        return "leaves the archive with '..'"
    return None


def _extra(extra: bytes) -> dict[int, bytes] | None:
    """Extra fields by id; None when they do not parse. Padding of fewer than 4 zeros is legal."""
    fields: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(extra):
        key, size = struct.unpack_from("<2H", extra, at)
        at += 4
        if at + size > len(extra) or (key in (0x0001, 0x7075) and key in fields):
            return None
        fields[key] = extra[at : at + size]
        at += size
    return None if any(extra[at:]) else fields


def _zip64(
    field: bytes | None, size: int, compressed: int, offset: int, disk: int
) -> tuple[int, int, int, int] | None:
    """The four values with their sentinels replaced from the zip64 field; None if it is short."""
    values = [size, compressed, offset, disk]
    if field is None:
        wants = 0xFFFFFFFF in values[:3] or disk == 0xFFFF
        return None if wants else (size, compressed, offset, disk)
    at = 0
    for i, (sentinel, width) in enumerate(((0xFFFFFFFF, 8),) * 3 + ((0xFFFF, 4),)):
        if values[i] == sentinel:
            if at + width > len(field):
                return None
            values[i] = int.from_bytes(field[at : at + width], "little")
            at += width
    return values[0], values[1], values[2], values[3]


def _located(
    fd: int, centrals: list[_Central], directory_offset: int, problems: list[Problem]
) -> list[Entry]:
    """Compare local headers and check that the entries tile [0, directory_offset)."""
    centrals.sort(key=lambda c: c.header_offset)
    entries: list[Entry] = []
    at = 0
    for i, central in enumerate(centrals):
        after = centrals[i + 1].header_offset if i + 1 < len(centrals) else directory_offset
        if central.header_offset < at or after > directory_offset:
            problems.append(Problem.of("archive-overlap", file=central.name))
            return entries
        if central.header_offset > at:
            gap = central.header_offset - at
            if i == 0:
                raise Refused.of("archive-prefix-bytes", count=gap)
            problems.append(Problem.of("archive-hidden-bytes", file=central.name, count=gap))
        head = pread(fd, _LOCAL.size + len(central.raw_name) + 64, central.header_offset)
        data_offset, what = _local(fd, head, central)
        if what is None and data_offset + central.compressed_bytes > after:
            problems.append(Problem.of("archive-overlap", file=central.name))
            return entries
        at = data_offset + central.compressed_bytes
        if what is None and central.flags & _FLAG_DESCRIPTOR:
            at, what = _descriptor(fd, central, at, after)
        if what is not None:
            problems.append(Problem.of("member-header-mismatch", file=central.name, what=what))
            at = after
        entries.append(
            Entry(
                central.name,
                data_offset,
                central.compressed_bytes,
                central.size_bytes,
                central.method,
                central.crc32,
                central.raw_name.endswith(b"/") or central.mode & 0o170000 == 0o040000,
            )
        )
    if at < directory_offset:
        raise Refused.of(
            "archive-hidden-bytes", file=centrals[-1].name, count=directory_offset - at
        )
    return entries


def _local(fd: int, head: bytes, central: _Central) -> tuple[int, str | None]:
    """(offset of the data, what disagrees with the directory or None)."""
    if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
        return central.header_offset, "no local header"
    (_, _, _, flags, method, _, _, crc32, compressed, size, name_bytes, extra_bytes) = (
        _LOCAL.unpack_from(head)
    )
    extra_at = _LOCAL.size + name_bytes
    data_offset = central.header_offset + extra_at + extra_bytes
    if head[_LOCAL.size : extra_at] != central.raw_name:
        return data_offset, "name"
    if flags != central.flags or method != central.method:
        return data_offset, "flags or method"
    if extra_bytes:
        if extra_at + extra_bytes > len(head):
            head = pread(fd, extra_at + extra_bytes, central.header_offset)
        fields = _extra(head[extra_at : extra_at + extra_bytes])
        if fields is None:
            return data_offset, "extra field"
        if 0xFFFFFFFF in (size, compressed):
            # A local zip64 field has both sizes always (APPNOTE 4.5.3); no offset, no disk.
            field = fields.get(0x0001)
            if field is None or len(field) < 16:
                return data_offset, "extra field"
            size, compressed = struct.unpack_from("<2Q", field)
    wanted = (central.crc32, central.compressed_bytes, central.size_bytes)
    if (crc32, compressed, size) != wanted and not (
        central.flags & _FLAG_DESCRIPTOR
        and crc32 in (0, wanted[0])
        and compressed in (0, wanted[1])
        and size in (0, wanted[2])
    ):
        return data_offset, "size or checksum"
    return data_offset, None


def _descriptor(fd: int, central: _Central, at: int, after: int) -> tuple[int, str | None]:
    """(end of the data descriptor at `at`, what is wrong or None): one of four forms."""
    size = after - at
    if size not in (12, 16, 20, 24):
        return at, "data descriptor"
    found = pread(fd, size, at)
    signed = b"PK\x07\x08" if size in (16, 24) else b""
    layout = "<L2L" if size in (12, 16) else "<L2Q"
    if not found.startswith(signed) or len(found) != size:
        return at, "data descriptor"
    if struct.unpack_from(layout, found, len(signed)) != (
        central.crc32,
        central.compressed_bytes,
        central.size_bytes,
    ):
        return at, "data descriptor"
    return after, None


def _damaged(what: str) -> Refused:
    return Refused.of("archive-damaged", what=what)
