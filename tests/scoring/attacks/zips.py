"""Zip archives byte by byte, so that every field can lie."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace

REGULAR = 0o100644 << 16
LINK = 0o120777 << 16
FIFO = 0o010644 << 16
DIRECTORY = 0o040755 << 16


def deflate(data: bytes, level: int = 6) -> bytes:
    """Raw deflate."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


@dataclass(frozen=True)
class Item:
    """One entry; every None is filled in honestly."""

    name: bytes
    data: bytes = b""
    method: int = 8
    flags: int = 0
    stored: bytes | None = None
    crc32: int | None = None
    size: int | None = None
    stored_size: int | None = None
    attributes: int = REGULAR
    system: int = 3
    extra: bytes = b""
    comment: bytes = b""
    local: dict[str, int | bytes] = field(default_factory=dict)
    descriptor: bytes | None = None
    offset: int | None = None
    disk: int = 0
    zip64: bool = False
    omit_local: bool = False

    def filled(self) -> Item:
        """All numbers set."""
        stored = self.stored
        if stored is None:
            stored = deflate(self.data) if self.method == 8 else self.data
        return replace(
            self,
            stored=stored,
            crc32=zlib.crc32(self.data) if self.crc32 is None else self.crc32,
            size=len(self.data) if self.size is None else self.size,
            stored_size=len(stored) if self.stored_size is None else self.stored_size,
        )


def honest_descriptor(data: bytes, *, signed: bool = True, wide: bool = False) -> bytes:
    """The data descriptor of a deflated entry holding `data`."""
    fields = struct.pack(
        "<L2Q" if wide else "<L2L", zlib.crc32(data), len(deflate(data)), len(data)
    )
    return (b"PK\x07\x08" if signed else b"") + fields


def local_header(item: Item) -> bytes:
    """The header before an entry's data; ``item.local`` overrides its fields."""
    honest: dict[str, int | bytes] = {
        "flags": item.flags, "method": item.method, "crc32": item.crc32 or 0,
        "stored_size": item.stored_size or 0, "size": item.size or 0, "name": item.name,
        "extra": b"",
    }  # fmt: skip
    if item.descriptor is not None:
        honest |= {"crc32": 0, "stored_size": 0, "size": 0}
    if item.zip64:
        wide = struct.pack("<2H2Q", 1, 16, item.size or 0, item.stored_size or 0)
        honest |= {"stored_size": 0xFFFFFFFF, "size": 0xFFFFFFFF, "extra": wide}
    f = honest | item.local
    name, extra = f["name"], f["extra"]
    assert isinstance(name, bytes)
    assert isinstance(extra, bytes)
    return (
        struct.pack(
            "<4s5H3L2H", b"PK\x03\x04", 20, f["flags"], f["method"], 0, 0x5A21, f["crc32"],
            f["stored_size"], f["size"], len(name), len(extra),
        )
        + name
        + extra
    )  # fmt: skip


def archive(
    items: list[Item],
    *,
    prefix: bytes = b"",
    suffix: bytes = b"",
    comment: bytes = b"",
    gap: bytes = b"",
    zip64: bool = False,
    shifted: bool = True,
    **end: int,
) -> bytes:
    """The archive. `end` overrides fields of the end record: disk, count, here, size, offset.

    `gap` lies before the last entry; `shifted=False` leaves offsets as if there were no prefix.
    """
    body = bytearray(prefix)
    central = bytearray()
    base = 0 if shifted else len(prefix)
    for number, raw in enumerate(items):
        item = raw.filled()
        if number == len(items) - 1:
            body += gap
        offset = len(body) - base if item.offset is None else item.offset
        if not item.omit_local:
            body += local_header(item) + (item.stored or b"") + (item.descriptor or b"")
        extra, size, stored_size = item.extra, item.size or 0, item.stored_size or 0
        if item.zip64:
            extra = struct.pack("<2H3Q", 1, 24, size, stored_size, offset) + extra
            size = stored_size = offset = 0xFFFFFFFF
        central += struct.pack(
            "<4s6H3L5H2L", b"PK\x01\x02", item.system << 8 | 20, 20, item.flags, item.method, 0,
            0x5A21, item.crc32 or 0, stored_size, size, len(item.name), len(extra),
            len(item.comment), item.disk, 0, item.attributes, offset,
        )  # fmt: skip
        central += item.name + extra + item.comment
    f = {
        "disk": 0, "here": len(items), "count": len(items), "size": len(central),
        "offset": len(body) - base,
    } | end  # fmt: skip
    body += central
    if zip64:
        record_at = len(body) - base
        body += struct.pack(
            "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, f["disk"], f["disk"], f["here"], f["count"],
            f["size"], f["offset"],
        )  # fmt: skip
        body += struct.pack("<4sLQL", b"PK\x06\x07", 0, record_at, 1)
        f |= {"here": 0xFFFF, "count": 0xFFFF, "size": 0xFFFFFFFF, "offset": 0xFFFFFFFF}
    body += struct.pack(
        "<4s4H2LH", b"PK\x05\x06", f["disk"], f["disk"], f["here"], f["count"], f["size"],
        f["offset"], len(comment),
    )  # fmt: skip
    return bytes(body) + comment + suffix


def crowd(count: int, *, name: bytes, extra: bytes = b"", flags: int = 0) -> bytes:
    """An archive of many empty entries with numbered names, ordinary in every other way."""
    local, central, at = bytearray(), bytearray(), 0
    for n in range(count):
        numbered = b"%06d" % n + name
        head = struct.pack(
            "<4s5H3L2H", b"PK\x03\x04", 20, flags, 0, 0, 33, 0, 0, 0, len(numbered), len(extra)
        )
        local += head + numbered + extra
        central += struct.pack(
            "<4s6H3L5H2L", b"PK\x01\x02", 20, 20, flags, 0, 0, 33, 0, 0, 0, len(numbered),
            len(extra), 0, 0, 0, 0, at,
        )  # fmt: skip
        central += numbered + extra
        at += len(head) + len(numbered) + len(extra)
    end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(central), at)
    end += struct.pack("<4sLQL", b"PK\x06\x07", 0, at + len(central), 1)
    end += struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return bytes(local + central + end)
