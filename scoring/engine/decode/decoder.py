"""Turns the bytes of one member into pixels: inflates, checks, decodes and digests them.

This is the only code that computes on uploaded bytes; `pool` runs it in sandboxed processes.
Plain strips and tiles are decoded here; anything rarer is left to GDAL, which is a second,
independent decoder of the same files.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from blake3 import blake3
from isal import isal_zlib
from numpy.typing import NDArray

from scoring.engine.archive import tiff, zip_directory
from scoring.engine.kernels import strips
from scoring.engine.problems.problems import Refused

if TYPE_CHECKING:
    from scoring.engine.archive.tiff import Layout

_INFLATE_ERROR = cast("type[Exception]", isal_zlib.error)

DIGEST_BYTES = 32
PADDING_BYTES = strips.PADDING_BYTES


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """One member to decode. ``crc32`` is None where none is known (files of a folder)."""

    method: int
    compressed_bytes: int
    size_bytes: int
    crc32: int | None


@dataclass(frozen=True, slots=True)
class Decoded:
    """Facts about the decoded pixels. ``digest`` is blake3 over them, row by row (32 bytes)."""

    digest: bytes
    has_display_hint: bool


class NeedsGdal(Exception):
    """The raster is legal so far, but only GDAL can decode it or say that it is damaged."""


class Decoder:
    """Decodes members of one shape. Holds scratch memory; not to be shared by threads."""

    def __init__(self, *, height_px: int, width_px: int, member_bytes: int) -> None:
        self._height, self._width = height_px, width_px
        self._raw = np.zeros(member_bytes + PADDING_BYTES, dtype=np.uint8)
        self._table = np.zeros(strips.TABLE_ENTRIES, dtype=np.uint64)
        self._kernels = strips.load()
        self._block = np.zeros(0, dtype=np.uint8)

    def decode(
        self,
        request: DecodeRequest,
        source: memoryview | bytes,
        out: NDArray[np.uint8],
        *,
        use_gdal: bool = False,
    ) -> Decoded:
        """Write the pixels of `source` to out[:height*width], row by row.

        `out` is uint8[height*width + PADDING_BYTES]; the padding may be written to. Raises Refused
        (without a file name) for anything wrong with the member, `NeedsGdal` when `use_gdal` is
        false and needed.
        """
        raw = self._inflate(request, source)
        layout = tiff.layout(raw, height_px=self._height, width_px=self._width)
        pixels = out[: self._height * self._width]
        if use_gdal:
            self._decode_with_gdal(raw, pixels)
        elif not self._decode_plain(raw, layout, out):
            raise NeedsGdal
        return Decoded(blake3(pixels.data).digest(), layout.has_display_hint)

    def _inflate(self, request: DecodeRequest, source: memoryview | bytes) -> bytes | memoryview:
        """The member's bytes, of the announced size and checksum. Raises Refused."""
        if request.method == zip_directory.DEFLATED:
            inflater = isal_zlib.decompressobj(-15)
            try:
                raw: bytes | memoryview = inflater.decompress(source, request.size_bytes + 1)
            except _INFLATE_ERROR as error:
                raise Refused.of("member-damaged", what="not valid deflate data") from error
            if len(raw) > request.size_bytes:
                raise Refused.of("member-damaged", what="more bytes than announced")
            if len(raw) < request.size_bytes or not inflater.eof:
                raise Refused.of("member-damaged", what="fewer bytes than announced")
            if inflater.unused_data:
                raise Refused.of("member-damaged", what="not valid deflate data")
        else:
            raw = source
        if request.crc32 is not None and isal_zlib.crc32(raw) != request.crc32:
            raise Refused.of("member-crc")
        return raw

    def _decode_plain(
        self, raw: bytes | memoryview, layout: Layout, out: NDArray[np.uint8]
    ) -> bool:
        """Decode strips or tiles in common codecs; False leaves the raster to GDAL."""
        if layout.compression in (tiff.PACKBITS, tiff.ZSTD):
            return False
        padded = self._raw
        if len(raw) + PADDING_BYTES > padded.size:
            return False
        padded[: len(raw)] = np.frombuffer(raw, dtype=np.uint8)
        if not layout.is_tiled:
            return self._decode_strips(padded, layout, out)
        return self._decode_tiles(padded, layout, out)

    def _decode_strips(
        self, padded: NDArray[np.uint8], layout: Layout, out: NDArray[np.uint8]
    ) -> bool:
        total = self._height * self._width
        strip = layout.block_height_px * self._width
        for i, (offset, size) in enumerate(zip(layout.offsets, layout.sizes_bytes, strict=True)):
            stop = min((i + 1) * strip, total)
            if not self._decode_block(padded, offset, size, out, i * strip, stop, layout):
                return False
        if layout.predictor == 2:
            self._kernels.undo_predictor(out, total, self._width)
        return True

    def _decode_tiles(
        self, padded: NDArray[np.uint8], layout: Layout, out: NDArray[np.uint8]
    ) -> bool:
        rows, columns = layout.block_height_px, layout.block_width_px
        if self._block.size != rows * columns + PADDING_BYTES:
            self._block = np.zeros(rows * columns + PADDING_BYTES, dtype=np.uint8)
        block, area = self._block, rows * columns
        image = out[: self._height * self._width].reshape(self._height, self._width)
        across = -(-self._width // columns)
        for i, (offset, size) in enumerate(zip(layout.offsets, layout.sizes_bytes, strict=True)):
            if not self._decode_block(padded, offset, size, block, 0, area, layout):
                return False
            if layout.predictor == 2:
                self._kernels.undo_predictor(block, area, columns)
            top, left = i // across * rows, i % across * columns
            target = image[top : top + rows, left : left + columns]
            tile = block[:area].reshape(rows, columns)
            target[:] = tile[: target.shape[0], : target.shape[1]]
        return True

    def _decode_block(
        self,
        padded: NDArray[np.uint8],
        offset: int,
        size: int,
        out: NDArray[np.uint8],
        first: int,
        stop: int,
        layout: Layout,
    ) -> bool:
        if layout.compression == tiff.NONE:
            out[first:stop] = padded[offset : offset + stop - first]
            return True
        if layout.compression == tiff.LZW:
            decode_lzw = self._kernels.decode_lzw
            if decode_lzw is None:
                return False
            addresses = padded.ctypes.data, out.ctypes.data, self._table.ctypes.data
            source, target, table = addresses
            return decode_lzw(source, offset, offset + size, target, first, stop, table) == 1
        inflater = isal_zlib.decompressobj(15)
        most = layout.block_height_px * layout.block_width_px
        try:
            data = inflater.decompress(padded[offset : offset + size].data, most + 1)
        except _INFLATE_ERROR as error:
            raise _damaged() from error
        # GDAL's deflate returns damaged pixels without an error, so it is not asked: the stream
        # must come to its end, with its checksum. (A last strip may be padded to full height.)
        if not inflater.eof or not stop - first <= len(data) <= most:
            raise _damaged()
        out[first:stop] = np.frombuffer(data, dtype=np.uint8, count=stop - first)
        return True

    def _decode_with_gdal(self, raw: bytes | memoryview, pixels: NDArray[np.uint8]) -> None:
        # rasterio is imported where it is needed: plain archives never pay for it.
        from rasterio.errors import RasterioError
        from rasterio.io import MemoryFile

        shape = (self._height, self._width)
        try:
            with (
                warnings.catch_warnings(action="ignore"),  # "not georeferenced"
                MemoryFile(bytes(raw)) as memory,
                memory.open(driver="GTiff", sharing=False, OVERVIEW_LEVEL="NONE") as raster,
            ):
                if (raster.count, raster.dtypes[0], raster.shape) != (1, "uint8", shape):
                    raise Refused.of("raster-undecodable", what="the library refuses it")
                band = raster.read(1)
        except RasterioError as error:
            raise _damaged() from error
        except MemoryError as error:
            raise Refused.of("raster-memory") from error
        if band.shape != shape or band.dtype != np.uint8:
            raise Refused.of("raster-undecodable", what="too few pixels")
        pixels[:] = band.reshape(-1)


def _damaged() -> Refused:
    return Refused.of("raster-undecodable", what="compressed data are damaged")


def warm_gdal(*, height_px: int, width_px: int) -> None:
    """Import rasterio and decode one sample, so that nothing has to be loaded after a lock-down."""
    decoder = Decoder(height_px=height_px, width_px=width_px, member_bytes=1)
    out = np.zeros(height_px * width_px + PADDING_BYTES, dtype=np.uint8)
    for data in (sample(height_px=height_px, width_px=width_px), b"II*\x00\x08"):
        try:
            request = DecodeRequest(zip_directory.STORED, len(data), len(data), None)
            decoder.decode(request, data, out, use_gdal=True)
        except Refused:
            continue


def sample(*, height_px: int, width_px: int) -> bytes:
    """A minimal deflated one-strip TIFF of zeros."""
    strip = zlib.compress(bytes(height_px * width_px))
    tags = [
        (256, 4, width_px), (257, 4, height_px), (258, 3, 8), (259, 3, tiff.DEFLATE),
        (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 4, height_px), (279, 4, len(strip)),
    ]  # fmt: skip
    directory = b"".join(struct.pack("<2H2L", tag, kind, 1, v) for tag, kind, v in tags)
    at = 8 + len(strip)
    return (
        struct.pack("<4sL", b"II*\x00", at)
        + strip
        + struct.pack("<H", len(tags))
        + directory
        + bytes(4)
    )
