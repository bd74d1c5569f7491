"""A strict reader of zip directories: one archive, one meaning.

The end record comes first (how many entries?), then the central directory, then every local
header is compared with it; entries must tile the file from its first byte to the directory
without gap or overlap. So no two readers can see different content, and nothing is inflated here.

Source: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5; the deviations of real readers are why
ambiguous archives are refused instead of repaired.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from scoring.engine.archive import zip_end, zip_names
from scoring.engine.archive.zip_end import damaged, pread
from scoring.engine.problems.problems import ProblemList, Refused

MAX_EXTRA_FIELDS = 64  # of an entry: honest ones have five at most
DIRECTORY_BYTES_PER_ENTRY = 512  # on average; single names may be longer
MAX_DEFLATE_RATIO = 1032  # deflate's own limit: 258 bytes for a little less than 2 bits
STORED, DEFLATED = 0, 8

_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL = struct.Struct("<4s2B4HL2L2H")
_FLAG_ENCRYPTED, _FLAG_DESCRIPTOR, _FLAG_UTF8 = 0x0001, 0x0008, zip_names.FLAG_UTF8
_FLAG_STRONG_OR_MASKED = 0x0040 | 0x2000
_FLAGS_KNOWN = 0x0006 | _FLAG_DESCRIPTOR | _FLAG_UTF8 | _FLAG_ENCRYPTED | _FLAG_STRONG_OR_MASKED
METHODS = {
    1: "shrink", 6: "implode", 9: "deflate64", 10: "DCL implode", 12: "bzip2", 14: "LZMA",
    20: "zstd", 93: "zstd", 94: "MP3", 95: "xz", 96: "JPEG", 97: "WavPack", 98: "PPMd",
    99: "AES encryption",
}  # fmt: skip
_DOS_FOLDER = 0x10


@dataclass(
    slots=True
)  # not frozen: there are tens of thousands, and frozen ones take three times as long
class Entry:
    """One checked entry: where its data lie and what they must inflate to.

    Only a sound one may be read; what is wrong with another is among the problems.
    """

    name: str
    data_offset: int
    compressed_bytes: int
    size_bytes: int
    method: int
    crc32: int
    is_folder: bool
    is_sound: bool


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
    is_dos_folder: bool
    name: str
    is_sound: bool = True


_Fault = tuple[str, dict[str, str | int]]  # a code of the catalogue and its parameters


def read(fd: int, *, max_entries: int, example: str, problems: ProblemList) -> list[Entry]:
    """Entries of the zip open as `fd`, in file order; `problems` gets those of single entries.

    `example` is a legal name, shown in messages. Raises Refused when the archive as a whole
    cannot be trusted. Nothing is inflated; time and memory are bounded by `max_entries`.
    """
    size = os.fstat(fd).st_size
    if size == 0:
        raise Refused.of("archive-empty-file")
    count, directory_offset, directory_bytes = zip_end.read(fd, size)
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
            raise damaged("the directory is not where the end record says")
        raise Refused.of("archive-no-entries")
    directory = pread(fd, directory_bytes, directory_offset)
    if len(directory) != directory_bytes:
        raise Refused.of("archive-truncated")
    centrals = _directory(directory, count, problems, example)
    del directory
    if len(centrals) < count:
        return []  # without all of their offsets, none can be checked
    return _located(fd, centrals, directory_offset, problems)


def _directory(directory: bytes, count: int, problems: ProblemList, example: str) -> list[_Central]:
    """The central directory's entries; those with an unreadable extra field are left out."""
    centrals: list[_Central] = []
    at = 0
    for _ in range(count):
        if at + _CENTRAL.size > len(directory):
            raise damaged("the directory is cut off")
        (
            signature, _, system, _, _, flags, method, _, _, crc32, compressed, size,
            name_bytes, extra_bytes, comment_bytes, disk, _, attributes, offset,
        ) = _CENTRAL.unpack_from(directory, at)  # fmt: skip
        if signature != b"PK\x01\x02":
            raise damaged("the directory is cut off")
        name_at = at + _CENTRAL.size
        extra_at = name_at + name_bytes
        at = extra_at + extra_bytes + comment_bytes
        if at > len(directory):
            raise damaged("the directory is cut off")
        raw = directory[name_at:extra_at]
        shown = zip_names.decode(raw, flags)
        unicode_name = None
        if extra_bytes:
            fields = _extra(directory[extra_at : extra_at + extra_bytes])
            if fields is None:
                problems.report("member-header-mismatch", file=shown, what="extra field")
                continue
            unicode_name = fields.get(0x7075)
            wide = _zip64(fields.get(0x0001), size, compressed, offset, disk)
            if wide is None:
                problems.report("member-header-mismatch", file=shown, what="extra field")
                continue
            size, compressed, offset, disk = wide
        if disk:
            raise Refused.of("archive-multi-disk")
        central = _Central(
            raw, flags, method, crc32, compressed, size, offset,
            attributes >> 16 if system in (3, 19) or attributes >> 28 == 0xA else 0,
            bool(attributes & _DOS_FOLDER), shown,
        )  # fmt: skip
        fault = _entry_fault(central, unicode_name, example)
        if fault is not None:
            problems.report(fault[0], file=central.name, **fault[1])
            central.is_sound = False
        centrals.append(central)
    if at != len(directory):
        raise damaged("the directory has bytes left over")
    return centrals


def _entry_fault(entry: _Central, unicode_name: bytes | None, example: str) -> _Fault | None:
    """What forbids to read the entry, judged by the directory alone; None if nothing."""
    entry.name, what = zip_names.check(entry.name, entry.raw_name, entry.flags, unicode_name)
    if what is not None:
        return "member-name-unsafe", {"what": what, "example": example}
    if entry.flags & (_FLAG_ENCRYPTED | _FLAG_STRONG_OR_MASKED) or entry.method == 99:
        return "member-encrypted", {}
    if entry.method not in (STORED, DEFLATED):
        method = METHODS.get(entry.method, f"method {entry.method}")
        return "member-method", {"method": method}
    if entry.flags & ~_FLAGS_KNOWN:
        return "member-method", {"method": f"flags {entry.flags:#06x}"}
    kind = entry.mode & 0o170000
    folder = entry.raw_name.endswith(b"/")
    if kind == 0o120000:
        return "member-not-regular", {"kind": "a symbolic link"}
    if kind not in (0, 0o100000, 0o040000):
        return "member-not-regular", {"kind": "a device, socket or pipe"}
    if entry.size_bytes and (folder or kind == 0o040000 or entry.is_dos_folder):
        return "member-not-regular", {"kind": "a folder with content"}
    stored = entry.method == STORED
    if (stored and entry.size_bytes != entry.compressed_bytes) or not (
        entry.compressed_bytes * MAX_DEFLATE_RATIO >= entry.size_bytes
        and entry.compressed_bytes <= entry.size_bytes * 1.1 + 4096
    ):
        return "member-size-impossible", {
            "compressed_bytes": entry.compressed_bytes, "size_bytes": entry.size_bytes,
        }  # fmt: skip
    return None


def _extra(extra: bytes) -> dict[int, bytes] | None:
    """Extra fields by id; None when they do not parse. Padding of fewer than 4 zeros is legal."""
    fields: dict[int, bytes] = {}
    at = n_fields = 0
    while at + 4 <= len(extra):
        key, size = struct.unpack_from("<2H", extra, at)
        at += 4
        if at + size > len(extra) or (key in (0x0001, 0x7075) and key in fields):
            return None
        n_fields += 1
        if n_fields > MAX_EXTRA_FIELDS:
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
    fd: int, centrals: list[_Central], directory_offset: int, problems: ProblemList
) -> list[Entry]:
    """Compare local headers and check that the entries tile [0, directory_offset)."""
    centrals.sort(key=lambda c: c.header_offset)
    entries: list[Entry] = []
    at = 0
    for i, central in enumerate(centrals):
        after = centrals[i + 1].header_offset if i + 1 < len(centrals) else directory_offset
        if central.header_offset < at or after > directory_offset:
            raise Refused.of("archive-overlap", file=central.name)
        if central.header_offset > at:
            gap = central.header_offset - at
            if i == 0:
                raise Refused.of("archive-prefix-bytes", count=gap)
            problems.report("archive-hidden-bytes", file=central.name, count=gap)
        head = pread(fd, _LOCAL.size + len(central.raw_name) + 64, central.header_offset)
        data_offset, what = _local(fd, head, central)
        if what is None and data_offset + central.compressed_bytes > after:
            raise Refused.of("archive-overlap", file=central.name)
        at = data_offset + central.compressed_bytes
        if what is None and central.flags & _FLAG_DESCRIPTOR:
            at, what = _descriptor(fd, central, at, after)
        if what is not None:
            problems.report("member-header-mismatch", file=central.name, what=what)
            central.is_sound = False
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
                central.is_sound,
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
        # Some readers take the name from here: it may only be the directory's.
        if fields.get(0x7075, b"")[5:] not in (b"", central.name.encode()):
            return data_offset, "name"
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
    descriptor = pread(fd, size, at)
    signed = b"PK\x07\x08" if size in (16, 24) else b""
    layout = "<L2L" if size in (12, 16) else "<L2Q"
    if not descriptor.startswith(signed) or len(descriptor) != size:
        return at, "data descriptor"
    if struct.unpack_from(layout, descriptor, len(signed)) != (
        central.crc32,
        central.compressed_bytes,
        central.size_bytes,
    ):
        return at, "data descriptor"
    return after, None
