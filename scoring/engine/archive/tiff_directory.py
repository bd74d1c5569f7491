"""Reads the tags of a TIFF's image directories from bytes in memory, in bounded time and memory.

Source: TIFF 6.0 (Adobe, 1992), section 2; BigTIFF (libtiff's design, 2007).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from scoring.engine.archive import formats
from scoring.engine.problems.problems import Refused

MAX_DIRECTORIES = 32
MAX_TAGS = 256
MAX_VALUES = 4096  # of a tag that is not a list of blocks


class Tag:
    """The tags that are read, named as in the standard."""

    NEW_SUBFILE_TYPE = 254
    SUBFILE_TYPE = 255
    WIDTH = 256
    LENGTH = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTES = 279
    PLANAR = 284
    PREDICTOR = 317
    TILE_WIDTH = 322
    TILE_LENGTH = 323
    TILE_OFFSETS = 324
    TILE_BYTES = 325
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339


_KIND_TAGS = frozenset({Tag.NEW_SUBFILE_TYPE, Tag.SUBFILE_TYPE})
_USED_TAGS = frozenset(value for name, value in vars(Tag).items() if name.isupper())
_BLOCK_LISTS = frozenset({Tag.STRIP_OFFSETS, Tag.STRIP_BYTES, Tag.TILE_OFFSETS, Tag.TILE_BYTES})
# Unsigned integer types of values: code → (format for struct, bytes).
_INTEGERS = {1: ("B", 1), 3: ("H", 2), 4: ("L", 4), 16: ("Q", 8)}

Tags = dict[int, tuple[int, ...]]
Data = bytes | memoryview


@dataclass(frozen=True, slots=True)
class _Format:
    """How numbers are stored: the byte order, and the sizes of classic TIFF or BigTIFF."""

    order: str
    is_big: bool
    count: struct.Struct = field(init=False)
    entry: struct.Struct = field(init=False)  # tag, type, number of values, values or their offset
    offset: struct.Struct = field(init=False)

    def __post_init__(self) -> None:
        count, entry, offset = ("Q", "2HQ8s", "Q") if self.is_big else ("H", "2HL4s", "L")
        object.__setattr__(self, "count", struct.Struct(self.order + count))
        object.__setattr__(self, "entry", struct.Struct(self.order + entry))
        object.__setattr__(self, "offset", struct.Struct(self.order + offset))


_FORMATS = {
    b"II*\x00": _Format("<", is_big=False), b"MM\x00*": _Format(">", is_big=False),
    b"II+\x00": _Format("<", is_big=True), b"MM\x00+": _Format(">", is_big=True),
}  # fmt: skip


def read(data: Data, *, max_blocks: int) -> Tags:
    """The used tags of the only full-resolution image; overviews and masks are ignored.

    A list of more than `max_blocks` strips or tiles is given as empty. Raises Refused.
    """
    format_ = _FORMATS.get(bytes(data[:4]))
    if format_ is None:
        head = bytes(data[:512])
        raise Refused.of("raster-not-tiff", format=formats.format_name(head) if head else "empty")
    main_offset = _first_offset(data, format_)
    if main_offset == 0:
        raise bad("no image directory")
    main, next_offset = _read_directory(data, main_offset, format_, max_blocks=max_blocks)
    if not _is_full_image(main):
        raise bad("no image directory")
    images = 1 + _count_images(data, next_offset, format_, main_offset=main_offset)
    if images != 1:
        raise Refused.of("raster-pages", count=images)
    return main


def _first_offset(data: Data, format_: _Format) -> int:
    if len(data) < (16 if format_.is_big else 8):
        raise cut("the header is incomplete")
    if not format_.is_big:
        (first,) = format_.offset.unpack(data[4:8])
        return int(first)
    offset_bytes, zero, first = struct.unpack(format_.order + "2HQ", data[4:16])
    if (offset_bytes, zero) != (8, 0):
        raise bad("the BigTIFF header is wrong")
    return int(first)


def _count_images(data: Data, offset: int, format_: _Format, *, main_offset: int) -> int:
    """How many full-resolution images follow the main one, in the chain that begins at `offset`."""
    seen, images = {main_offset}, 0
    while offset:
        if offset in seen:
            raise bad("directories form a cycle")
        if len(seen) >= MAX_DIRECTORIES:
            raise bad("too many directories")
        seen.add(offset)
        tags, offset = _read_directory(data, offset, format_, max_blocks=0)
        images += _is_full_image(tags)
    return images


def _is_full_image(tags: Tags) -> bool:
    """Not an overview or a transparency mask, by the new and the old tag for it."""
    return (
        not tags.get(Tag.NEW_SUBFILE_TYPE, (0,))[0] & 0b101
        and tags.get(Tag.SUBFILE_TYPE, (1,))[0] != 2
    )


def _read_directory(
    data: Data, offset: int, format_: _Format, *, max_blocks: int
) -> tuple[Tags, int]:
    """(used tags, offset of the next directory). Without `max_blocks`, only tags of the kind."""
    entries_offset = offset + format_.count.size
    if entries_offset > len(data):
        raise cut("a directory lies beyond the end")
    (count,) = format_.count.unpack_from(data, offset)
    if count > MAX_TAGS:
        raise bad("too many tags")
    end = entries_offset + count * format_.entry.size
    if end + format_.offset.size > len(data):
        raise cut("a directory lies beyond the end")
    wanted = _USED_TAGS if max_blocks else _KIND_TAGS
    tags: Tags = {}
    for tag, kind, n_values, inline in format_.entry.iter_unpack(data[entries_offset:end]):
        if tag not in wanted:
            continue
        if tag in tags:
            raise bad("a tag is given twice")
        if kind not in _INTEGERS or n_values == 0:
            raise bad("a tag has a wrong type or count")
        if tag in _BLOCK_LISTS and n_values > max_blocks:
            tags[tag] = ()  # too many to be right, whatever they say; the size is checked first
        elif n_values > MAX_VALUES and tag not in _BLOCK_LISTS:
            raise bad("a tag has a wrong type or count")
        else:
            tags[tag] = _read_values(data, kind, n_values, inline, format_)
    (next_offset,) = format_.offset.unpack_from(data, end)
    return tags, next_offset


def _read_values(
    data: Data, kind: int, n_values: int, inline: bytes, format_: _Format
) -> tuple[int, ...]:
    """The values of one tag: in the directory where they fit, else where it says."""
    code, value_bytes = _INTEGERS[kind]
    size = value_bytes * n_values
    if size <= len(inline):
        return struct.unpack_from(f"{format_.order}{n_values}{code}", inline)
    (offset,) = format_.offset.unpack(inline)
    if offset + size > len(data):
        raise cut("a tag's values lie beyond the end")
    return struct.unpack_from(f"{format_.order}{n_values}{code}", data, offset)


def single_value(tags: Tags, tag: int, *, default: int | None = None) -> int:
    """The one value of a tag. Raises Refused if it is missing without a default, or a list."""
    values = tags.get(tag)
    if values is None:
        if default is None:
            raise bad("a required tag is missing")
        return default
    if len(values) != 1:
        # More bits or formats than one is what several bands look like.
        if tag in (Tag.BITS, Tag.SAMPLE_FORMAT):
            raise Refused.of("raster-bands", count=len(values))
        raise bad("a tag has a wrong type or count")
    return values[0]


def bad(what: str) -> Refused:
    """The TIFF breaks the standard in the way that the phrase `what` says."""
    return Refused.of("raster-structure", what=what)


def cut(what: str) -> Refused:
    """The TIFF ends before what it announces, as the phrase `what` says."""
    return Refused.of("raster-truncated", what=what)
