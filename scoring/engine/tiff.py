"""What a TIFF says about itself, checked before any decoder sees its data.

Only the tags are read, in bounded time and memory, from bytes in memory. The result is a
`Layout`: where the strips or tiles of the one full-resolution image lie and how they are coded.

Source: TIFF 6.0 (Adobe, 1992), its 2002 supplement, BigTIFF; libtiff's behaviour where they
leave a choice.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from scoring.engine import formats
from scoring.engine.problems import Refused

MAX_BLOCK_SIDE_PX = 1024
MAX_DIRECTORIES = 32
MAX_TAGS = 256
TILE_STEP_PX = 16  # TIFF 6.0: tile sides are multiples of it; a file of tiny tiles takes seconds
MAX_VALUES = 4096  # of a tag that is not a list of blocks

NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS, ZSTD = 1, 5, 8, 32946, 32773, 50000
CODECS = frozenset({NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS, ZSTD})
_CODEC_NAMES = {
    2: "CCITT RLE", 3: "CCITT fax 3", 4: "CCITT fax 4", 6: "old JPEG", 7: "JPEG",
    32766: "NeXT", 32771: "CCITT RLEW", 32809: "Thunderscan", 34661: "JBIG",
    33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA",
    34926: "old zstd", 34927: "old WebP", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
_PHOTOMETRIC_NAMES = {
    2: "RGB", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab", 10: "ITULab",
    32844: "LogL", 32845: "LogLuv",
}  # fmt: skip
_FORMAT_NAMES = {1: "uint", 2: "int", 3: "float", 4: "undefined", 5: "complex int", 6: "complex"}
_MAGICS = {b"II*\x00": ("<", False), b"MM\x00*": (">", False),
           b"II+\x00": ("<", True), b"MM\x00+": (">", True)}  # fmt: skip

# Tag ids, named as in the standard.
_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _WIDTH, _LENGTH, _BITS, _COMPRESSION = (
    254,
    255,
    256,
    257,
    258,
    259,
)
_PHOTOMETRIC, _FILL_ORDER, _STRIP_OFFSETS, _ORIENTATION, _SAMPLES = 262, 266, 273, 274, 277
_ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _PREDICTOR = 278, 279, 284, 317
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_BYTES, _SAMPLE_FORMAT = 322, 323, 324, 325, 339
_USED = frozenset({
    _NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC,
    _FILL_ORDER, _STRIP_OFFSETS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR,
    _PREDICTOR, _TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_BYTES, _SAMPLE_FORMAT,
})  # fmt: skip
_LISTS = frozenset({_STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS, _TILE_BYTES})
_WIDTHS = {1: "B", 3: "H", 4: "L", 16: "Q"}
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
               16: 8, 17: 8, 18: 8}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """The one full-resolution image of a checked TIFF; blocks are strips or tiles."""

    compression: int
    predictor: int
    is_tiled: bool
    block_height_px: int
    block_width_px: int
    offsets: tuple[int, ...]
    sizes_bytes: tuple[int, ...]
    has_display_hint: bool  # an orientation or inverted grey, ignored: stored values count


def layout(data: bytes | memoryview, *, height_px: int, width_px: int) -> Layout:
    """Check the TIFF in `data` and say where its pixels are.

    Raises Refused (without a file name: the caller knows it).
    """
    head = bytes(data[:16])
    magic = _MAGICS.get(head[:4])
    if magic is None:
        raise Refused.of("raster-not-tiff", format=_format(bytes(data[:512])))
    order, big = magic
    if len(data) < (16 if big else 8):
        raise _cut("the header is incomplete")
    if big:
        offset_bytes, zero, first = struct.unpack(order + "2HQ", head[4:16])
        if (offset_bytes, zero) != (8, 0):
            raise _bad("the BigTIFF header is wrong")
    else:
        (first,) = struct.unpack(order + "L", head[4:8])
    tiles = -(-height_px // TILE_STEP_PX) * -(-width_px // TILE_STEP_PX)
    tags = _single_image(data, first, order=order, big=big, max_blocks=max(height_px, tiles))
    return _checked(tags, len(data), height_px=height_px, width_px=width_px)


Tags = dict[int, tuple[int, ...]]


def _single_image(
    data: bytes | memoryview, first: int, *, order: str, big: bool, max_blocks: int
) -> Tags:
    """Tags of the only full-resolution image. Overviews and masks may follow; they are ignored."""
    if first == 0:
        raise _bad("no image directory")
    at, seen, images = first, set[int](), 0
    main: Tags = {}
    while at:
        if at in seen:
            raise _bad("directories form a cycle")
        if len(seen) >= MAX_DIRECTORIES:
            raise _bad("too many directories")
        is_main = not seen
        seen.add(at)
        limit = max_blocks if is_main else 0
        tags, at = _directory(data, at, order=order, big=big, max_blocks=limit)
        if is_main:
            main = tags
        kind = tags.get(_NEW_SUBFILE_TYPE, (0,))[0]
        old_kind = tags.get(_SUBFILE_TYPE, (1,))[0]
        if is_main and (kind & 0b101 or old_kind == 2):
            raise _bad("no image directory")
        if not kind & 0b101 and old_kind != 2:
            images += 1
    if images != 1:
        raise Refused.of("raster-pages", count=images)
    return main


def _directory(
    data: bytes | memoryview, at: int, *, order: str, big: bool, max_blocks: int
) -> tuple[Tags, int]:
    """(used tags, offset of the next directory). Without `max_blocks`, only type tags are read."""
    count_bytes, entry_bytes, next_bytes = (8, 20, 8) if big else (2, 12, 4)
    if at + count_bytes > len(data):
        raise _cut("a directory lies beyond the end")
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    if count > MAX_TAGS:
        raise _bad("too many tags")
    begin = at + count_bytes
    end = begin + count * entry_bytes
    if end + next_bytes > len(data):
        raise _cut("a directory lies beyond the end")
    entry = struct.Struct(order + ("2HQ8s" if big else "2HL4s"))
    inline_bytes = 8 if big else 4
    tags: Tags = {}
    for tag, kind, n, inline in entry.iter_unpack(data[begin:end]):
        if tag not in _USED or not (max_blocks or tag in (_NEW_SUBFILE_TYPE, _SUBFILE_TYPE)):
            continue
        if tag in tags:
            raise _bad("a tag is given twice")
        code = _WIDTHS.get(kind)
        if code is None or n == 0:
            raise _bad("a tag has a wrong type or count")
        if n > MAX_VALUES and tag not in _LISTS:
            raise _bad("a tag has a wrong type or count")
        if n > max_blocks and tag in _LISTS:
            tags[tag] = ()  # too many to be right, whatever they say; the size is checked first
            continue
        size = _TYPE_BYTES[kind] * n
        if size <= inline_bytes:
            tags[tag] = struct.unpack_from(f"{order}{n}{code}", inline)
            continue
        (where,) = struct.unpack(order + ("Q" if big else "L"), inline)
        if where + size > len(data):
            raise _cut("a tag's values lie beyond the end")
        tags[tag] = struct.unpack_from(f"{order}{n}{code}", data, where)
    (following,) = struct.unpack_from(order + ("Q" if big else "L"), data, end)
    return tags, following


def _checked(tags: Tags, size_bytes: int, *, height_px: int, width_px: int) -> Layout:
    width, height = _one(tags, _WIDTH), _one(tags, _LENGTH)
    samples = _one(tags, _SAMPLES, default=1)
    if samples != 1:
        raise Refused.of("raster-bands", count=samples)
    bits, sample_format = _one(tags, _BITS, default=1), _one(tags, _SAMPLE_FORMAT, default=1)
    if bits != 8 or sample_format != 1:
        name = _FORMAT_NAMES.get(sample_format, f"format {sample_format}, ")
        raise Refused.of("raster-type", found=f"{name}{bits}")
    if (height, width) != (height_px, width_px):
        transposed = (width, height) == (height_px, width_px)
        raise Refused.of(
            "raster-transposed" if transposed else "raster-size",
            height_px=height,
            width_px=width,
            expected_height_px=height_px,
            expected_width_px=width_px,
        )
    compression = _one(tags, _COMPRESSION, default=NONE)
    if compression not in CODECS:
        name = _CODEC_NAMES.get(compression, f"codec {compression}")
        raise Refused.of("raster-codec", codec=name)
    predictor = _one(tags, _PREDICTOR, default=1)
    if predictor not in (1, 2):
        raise Refused.of("raster-predictor", value=predictor)
    photometric = _one(tags, _PHOTOMETRIC, default=1)
    if photometric not in (0, 1, 3):
        found = _PHOTOMETRIC_NAMES.get(photometric, f"model {photometric}")
        raise Refused.of("raster-photometric", found=found)
    if _one(tags, _FILL_ORDER, default=1) != 1:
        raise _bad("bits are stored in reverse order")
    if _one(tags, _PLANAR, default=1) not in (1, 2):
        raise _bad("a tag has a wrong type or count")
    hint = photometric == 0 or _one(tags, _ORIENTATION, default=1) != 1
    return _blocks(
        tags, size_bytes, height=height, width=width, compression=compression,
        predictor=predictor if compression not in (NONE, PACKBITS) else 1, hint=hint,
    )  # fmt: skip


def _blocks(
    tags: Tags, size_bytes: int, *, height: int, width: int, compression: int, predictor: int,
    hint: bool,
) -> Layout:  # fmt: skip
    tiled = bool(tags.keys() & {_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_BYTES})
    if tiled and tags.keys() & {_STRIP_OFFSETS, _STRIP_BYTES}:
        raise _bad("strips and tiles are mixed")
    if tiled:
        block_width, block_height = _one(tags, _TILE_WIDTH), _one(tags, _TILE_LENGTH)
    else:
        block_width = width
        block_height = min(_one(tags, _ROWS_PER_STRIP, default=height), height)
    if min(block_width, block_height) < 1:
        raise _bad("a tag has a wrong type or count")
    if tiled and (block_width % TILE_STEP_PX or block_height % TILE_STEP_PX):
        raise _bad("a tile's sides are not multiples of 16 pixels")
    most_px = MAX_BLOCK_SIDE_PX**2
    if block_width * block_height > most_px or (
        tiled and max(block_width, block_height) > MAX_BLOCK_SIDE_PX
    ):
        raise Refused.of("raster-block", height_px=block_height, width_px=block_width)
    offsets = tags.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS)
    sizes = tags.get(_TILE_BYTES if tiled else _STRIP_BYTES)
    if offsets is None or sizes is None:
        raise _bad("a required tag is missing")
    wanted = -(-height // block_height) * -(-width // block_width)
    if len(offsets) != wanted or len(sizes) != wanted:
        raise _bad("the number of strips or tiles is wrong")
    if 0 in sizes or min(offsets) < 8:
        raise _bad("image data are missing")
    end = 0
    for offset, size in sorted(zip(offsets, sizes, strict=True)):
        if offset < end:
            raise _bad("image data overlap")
        end = offset + size
    if end > size_bytes:
        raise _cut("image data lie beyond the end")
    if compression == NONE:
        last_rows = height - (wanted - 1) * block_height
        for i, size in enumerate(sizes):
            rows = last_rows if not tiled and i == wanted - 1 else block_height
            if size < rows * block_width:
                raise _bad("image data are missing")
    return Layout(
        compression, predictor, tiled, block_height, block_width, offsets, sizes, hint
    )  # fmt: skip


def _one(tags: Tags, tag: int, *, default: int | None = None) -> int:
    values = tags.get(tag)
    if values is None:
        if default is None:
            raise _bad("a required tag is missing")
        return default
    if len(values) != 1:
        # More bits or formats than one is what several bands look like.
        if tag in (_BITS, _SAMPLE_FORMAT):
            raise Refused.of("raster-bands", count=len(values))
        raise _bad("a tag has a wrong type or count")
    return values[0]


def _format(head: bytes) -> str:
    name = formats.format_name(head)
    return "empty" if not head else name


def _bad(what: str) -> Refused:
    return Refused.of("raster-structure", what=what)


def _cut(what: str) -> Refused:
    return Refused.of("raster-truncated", what=what)
