"""What a TIFF says about itself, checked before any decoder sees its data.

Only the tags are read, in bounded time and memory, from bytes in memory. The result is a
`Layout`: where the strips or tiles of the one full-resolution image lie and how they are coded.

Source: TIFF 6.0 (Adobe, 1992), its 2002 supplement, BigTIFF; libtiff's behaviour where they
leave a choice.
"""

from __future__ import annotations

from dataclasses import dataclass

from scoring.engine.archive import tiff_directory
from scoring.engine.archive.tiff_directory import Data, Tag, Tags, bad, cut, single_value
from scoring.engine.problems.problems import Refused

MAX_BLOCK_SIDE_PX = 1024
TILE_STEP_PX = 16  # TIFF 6.0: tile sides are multiples of it; a file of tiny tiles takes seconds

NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS, ZSTD = 1, 5, 8, 32946, 32773, 50000
CODECS = frozenset({NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS, ZSTD})
CODEC_NAMES = {
    2: "CCITT RLE", 3: "CCITT fax 3", 4: "CCITT fax 4", 6: "old JPEG", 7: "JPEG",
    32766: "NeXT", 32771: "CCITT RLEW", 32809: "Thunderscan", 34661: "JBIG",
    33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA",
    34926: "old zstd", 34927: "old WebP", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
PHOTOMETRIC_NAMES = {
    2: "RGB", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab", 10: "ITULab",
    32844: "LogL", 32845: "LogLuv",
}  # fmt: skip
SAMPLE_FORMAT_NAMES = {
    1: "uint",
    2: "int",
    3: "float",
    4: "undefined",
    5: "complex int",
    6: "complex",
}
_TILE_TAGS = frozenset({Tag.TILE_WIDTH, Tag.TILE_LENGTH, Tag.TILE_OFFSETS, Tag.TILE_BYTES})
_STRIP_TAGS = frozenset({Tag.STRIP_OFFSETS, Tag.STRIP_BYTES})


@dataclass(frozen=True, slots=True)
class Layout:
    """The one full-resolution image of a checked TIFF; blocks are strips or tiles.

    ``offsets`` and ``sizes_bytes`` are those of the coded blocks in the file, row by row.
    """

    compression: int
    predictor: int
    is_tiled: bool
    block_height_px: int
    block_width_px: int
    offsets: tuple[int, ...]
    sizes_bytes: tuple[int, ...]
    has_display_hint: bool  # an orientation or inverted grey, ignored: stored values count


def layout(data: Data, *, height_px: int, width_px: int) -> Layout:
    """Check the TIFF in `data` and return where its pixels are.

    Raises Refused (without a file name: the caller knows it).
    """
    tiles = -(-height_px // TILE_STEP_PX) * -(-width_px // TILE_STEP_PX)
    tags = tiff_directory.read(data, max_blocks=max(height_px, tiles))
    width, height = single_value(tags, Tag.WIDTH), single_value(tags, Tag.LENGTH)
    _check_pixel_type(tags)
    _check_size(height, width, height_px=height_px, width_px=width_px)
    compression, predictor = _coding(tags)
    has_display_hint = _check_interpretation(tags)
    is_tiled, block_height, block_width = _block_size(tags, height, width)
    offsets, sizes = _blocks(tags, is_tiled=is_tiled)
    n_blocks = -(-height // block_height) * -(-width // block_width)
    if len(offsets) != n_blocks or len(sizes) != n_blocks:
        raise bad("the number of strips or tiles is wrong")
    _check_positions(offsets, sizes, file_bytes=len(data))
    if compression == NONE:
        last_rows = block_height if is_tiled else height - (n_blocks - 1) * block_height
        _check_uncompressed(sizes, block_height, block_width, last_rows=last_rows)
    return Layout(
        compression, predictor, is_tiled, block_height, block_width, offsets, sizes,
        has_display_hint,
    )  # fmt: skip


def _check_pixel_type(tags: Tags) -> None:
    """One band of uint8."""
    samples = single_value(tags, Tag.SAMPLES, default=1)
    if samples != 1:
        raise Refused.of("raster-bands", count=samples)
    if len(tags.get(Tag.EXTRA_SAMPLES, ())) > samples:
        raise bad("a tag has a wrong type or count")
    bits = single_value(tags, Tag.BITS, default=1)
    sample_format = single_value(tags, Tag.SAMPLE_FORMAT, default=1)
    if bits != 8 or sample_format != 1:
        name = SAMPLE_FORMAT_NAMES.get(sample_format, f"format {sample_format}, ")
        raise Refused.of("raster-type", found=f"{name}{bits}")


def _check_size(height: int, width: int, *, height_px: int, width_px: int) -> None:
    if (height, width) != (height_px, width_px):
        transposed = (width, height) == (height_px, width_px)
        raise Refused.of(
            "raster-transposed" if transposed else "raster-size",
            height_px=height,
            width_px=width,
            expected_height_px=height_px,
            expected_width_px=width_px,
        )


def _coding(tags: Tags) -> tuple[int, int]:
    """(compression, predictor); the predictor is 1, none, where the codec takes none."""
    compression = single_value(tags, Tag.COMPRESSION, default=NONE)
    if compression not in CODECS:
        name = CODEC_NAMES.get(compression, f"codec {compression}")
        raise Refused.of("raster-codec", codec=name)
    predictor = single_value(tags, Tag.PREDICTOR, default=1)
    if predictor not in (1, 2):
        raise Refused.of("raster-predictor", value=predictor)
    return compression, 1 if compression in (NONE, PACKBITS) else predictor


def _check_interpretation(tags: Tags) -> bool:
    """Whether the tags ask for another display than of the stored values, which is ignored."""
    photometric = single_value(tags, Tag.PHOTOMETRIC, default=1)
    if photometric not in (0, 1, 3):
        name = PHOTOMETRIC_NAMES.get(photometric, f"model {photometric}")
        raise Refused.of("raster-photometric", found=name)
    if single_value(tags, Tag.FILL_ORDER, default=1) != 1:
        raise bad("bits are stored in reverse order")
    if single_value(tags, Tag.PLANAR, default=1) not in (1, 2):
        raise bad("a tag has a wrong type or count")
    return photometric == 0 or single_value(tags, Tag.ORIENTATION, default=1) != 1


def _block_size(tags: Tags, height: int, width: int) -> tuple[bool, int, int]:
    """(whether blocks are tiles, block height, block width) in pixels, within the limits."""
    is_tiled = bool(tags.keys() & _TILE_TAGS)
    if is_tiled and tags.keys() & _STRIP_TAGS:
        raise bad("strips and tiles are mixed")
    if is_tiled:
        block_width = single_value(tags, Tag.TILE_WIDTH)
        block_height = single_value(tags, Tag.TILE_LENGTH)
    else:
        block_width = width
        block_height = min(single_value(tags, Tag.ROWS_PER_STRIP, default=height), height)
    if min(block_width, block_height) < 1:
        raise bad("a tag has a wrong type or count")
    if is_tiled and (block_width % TILE_STEP_PX or block_height % TILE_STEP_PX):
        raise bad("a tile's sides are not multiples of 16 pixels")
    is_long = is_tiled and max(block_width, block_height) > MAX_BLOCK_SIDE_PX
    if is_long or block_width * block_height > MAX_BLOCK_SIDE_PX**2:
        raise Refused.of("raster-block", height_px=block_height, width_px=block_width)
    return is_tiled, block_height, block_width


def _blocks(tags: Tags, *, is_tiled: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(offsets, sizes in bytes) of the coded blocks, as the tags list them."""
    offsets = tags.get(Tag.TILE_OFFSETS if is_tiled else Tag.STRIP_OFFSETS)
    sizes = tags.get(Tag.TILE_BYTES if is_tiled else Tag.STRIP_BYTES)
    if offsets is None or sizes is None:
        raise bad("a required tag is missing")
    return offsets, sizes


def _check_positions(offsets: tuple[int, ...], sizes: tuple[int, ...], *, file_bytes: int) -> None:
    """Every block has bytes of its own within the file."""
    if 0 in sizes or min(offsets) < 8:
        raise bad("image data are missing")
    end = 0
    for offset, size in sorted(zip(offsets, sizes, strict=True)):
        if offset < end:
            raise bad("image data overlap")
        end = offset + size
    if end > file_bytes:
        raise cut("image data lie beyond the end")


def _check_uncompressed(
    sizes: tuple[int, ...], block_height: int, block_width: int, *, last_rows: int
) -> None:
    """Uncompressed blocks hold all of their pixels; the last strip may have fewer rows."""
    *whole, last = sizes
    if last < last_rows * block_width or (whole and min(whole) < block_height * block_width):
        raise bad("image data are missing")
