"""Our own decoding gives the writer's pixels, and GDAL's, whatever the writing."""

from __future__ import annotations

import io
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scoring.engine.archive import tiff
from scoring.engine.decode import decoder
from scoring.engine.kernels import choice
from scoring.engine.problems.problems import Refused
from tests.scoring.attacks import tiffs
from tests.shared_data import shared_data

Pixels = NDArray[np.uint8]


def decoded(data: bytes, height: int, width: int, *, use_gdal: bool = False) -> Pixels:
    """By the compiled kernels; numpy and GDAL in their place give the same."""
    pixels = _decoded_by("compiled", data, height, width, use_gdal=use_gdal)
    try:
        plain = _decoded_by("plain", data, height, width, use_gdal=use_gdal)
    except decoder.NeedsGdal:
        plain = _decoded_by("plain", data, height, width, use_gdal=True)
    assert np.array_equal(pixels, plain)
    return pixels


def _decoded_by(kernels: str, data: bytes, height: int, width: int, *, use_gdal: bool) -> Pixels:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(choice.VARIABLE, kernels)
        worker = decoder.Decoder(height_px=height, width_px=width, member_bytes=len(data))
    out = np.zeros(height * width + decoder.PADDING_BYTES, dtype=np.uint8)
    task = decoder.DecodeRequest(0, len(data), len(data), zlib.crc32(data))
    worker.decode(task, data, out, use_gdal=use_gdal)
    return out[: height * width].reshape(height, width)


def by_gdal(data: bytes) -> Pixels:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.MemoryFile(data) as memory, memory.open(driver="GTiff") as raster:
            pixels: Pixels = raster.read(1)
            return pixels


@st.composite
def images(draw: st.DrawFn) -> Pixels:
    """uint8 images of odd sizes, from constant to noise."""
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    step = draw(st.sampled_from([1, 1, 3, 16, 100]))
    high = draw(st.sampled_from([1, 2, 13, 256]))
    coarse = rng.integers(0, high, (height // step + 1, width // step + 1), dtype=np.uint8)
    image = np.kron(coarse, np.ones((step, step), dtype=np.uint8))[:height, :width]
    return np.ascontiguousarray(image)


@st.composite
def written(draw: st.DrawFn) -> tuple[Pixels, bytes]:
    """An image and a file of it by one of four writers."""
    image = draw(images())
    height, width = image.shape
    writer = draw(st.sampled_from(["gdal", "tifffile", "pillow", "handmade"]))
    if writer == "gdal":
        options: dict[str, Any] = {
            "compress": draw(st.sampled_from(["none", "lzw", "deflate", "packbits", "zstd"])),
            "BIGTIFF": draw(st.sampled_from(["YES", "NO"])),
            "ENDIANNESS": draw(st.sampled_from(["LITTLE", "BIG"])),
        }
        if options["compress"] in ("lzw", "deflate", "zstd"):
            options["predictor"] = draw(st.sampled_from([1, 2]))
        if draw(st.booleans()):
            sides = st.sampled_from([16, 32, 48, 128])
            options |= {"tiled": True, "blockxsize": draw(sides), "blockysize": draw(sides)}
        else:
            options["blockysize"] = draw(st.integers(1, height))
        return image, tiffs.by_gdal(image, **options)
    if writer == "tifffile":
        return image, tiffs.by_tifffile(
            image,
            compression=draw(st.sampled_from([None, "lzw", "zlib", "packbits", "zstd"])),
            byteorder=draw(st.sampled_from("<>")),
            bigtiff=draw(st.booleans()),
            **draw(st.sampled_from([{}, {"tile": (16, 32)}, {"rowsperstrip": 5}])),
        )
    if writer == "pillow":
        kinds = ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"]
        return image, tiffs.by_pillow(image, compression=draw(st.sampled_from(kinds)))
    return image, tiffs.handmade(
        image,
        order=draw(st.sampled_from("<>")),
        big=draw(st.booleans()),
        rows_per_strip=draw(st.integers(1, height)),
        compression=draw(st.sampled_from([1, 5, 8, 32773])),
        predictor=draw(st.sampled_from([1, 2])) if width > 1 else 1,
        tail=draw(st.binary(max_size=9)),
    )


@settings(max_examples=250, deadline=None)
@given(written())
def test_every_writing_is_decoded_to_its_pixels(pair: tuple[Pixels, bytes]) -> None:
    image, data = pair
    expected = by_gdal(data)
    try:
        pixels = decoded(data, *image.shape)
    except decoder.NeedsGdal:
        assert tiff.layout(data, height_px=image.shape[0], width_px=image.shape[1]).compression in (
            tiff.PACKBITS,
            tiff.ZSTD,
        )
        pixels = decoded(data, *image.shape, use_gdal=True)
    assert np.array_equal(pixels, expected)


@settings(max_examples=60, deadline=None)
@given(images(), st.sampled_from(["lzw", "deflate", None]))
def test_the_writer_agrees(image: Pixels, compress: str | None) -> None:
    """Not only GDAL: the pixels are those that were written."""
    data = tiffs.by_gdal(image, **({"compress": compress} if compress else {}))
    assert np.array_equal(decoded(data, *image.shape), image)
    assert np.array_equal(tifffile.imread(io.BytesIO(data)), image)


def test_a_long_lzw_strip_fills_and_clears_its_table() -> None:
    """Noise over many times the 4,096 codes, and a constant that grows the longest strings."""
    rng = np.random.default_rng(3)
    for image in (
        rng.integers(0, 256, (512, 512), dtype=np.uint8),
        np.full((512, 512), 9, dtype=np.uint8),
        np.tile(np.array([1, 2], dtype=np.uint8), (512, 256)),
    ):
        data = tiffs.by_gdal(image, compress="lzw", blockysize=512)
        assert np.array_equal(decoded(data, 512, 512), image)


def test_old_style_lzw_is_left_to_gdal() -> None:
    """Bits of before 1992, least significant first, begin with a zero byte."""
    image = np.zeros((4, 4), dtype=np.uint8)
    data = bytearray(tiffs.handmade(image, rows_per_strip=4, compression=5))
    data[8:10] = b"\x00\x01"
    with pytest.raises(decoder.NeedsGdal):
        decoded(bytes(data), 4, 4)


def test_a_deflated_strip_with_a_wrong_checksum_is_damaged() -> None:
    """GDAL returns it without a word, sometimes with bytes of its own memory."""
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    data = bytearray(tiffs.handmade(image, rows_per_strip=8, compression=8))
    size = tiff.layout(bytes(data), height_px=8, width_px=8).sizes_bytes[0]
    data[8 + size - 1] ^= 1
    with pytest.raises(Refused, match="damaged"):
        decoded(bytes(data), 8, 8)


def test_a_strip_that_inflates_without_end_is_refused_at_once() -> None:
    image = np.zeros((8, 8), dtype=np.uint8)
    packed = zlib.compress(bytes(100_000_000))
    plain = tiffs.handmade(image, rows_per_strip=8, compression=8)
    data = tiffs.handmade(
        image, rows_per_strip=8, compression=8,
        change={273: (4, (len(plain),)), 279: (4, (len(packed),))}, tail=packed,
    )  # fmt: skip
    with pytest.raises(Refused, match="damaged"):
        decoded(data, 8, 8)


def test_a_last_strip_may_be_padded_to_full_height() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(6, 8)
    padded = np.vstack([image, np.zeros((2, 8), dtype=np.uint8)])
    data = tiffs.handmade(padded, rows_per_strip=4, compression=8, change={257: (4, (6,))})
    assert np.array_equal(decoded(data, 6, 8), image)


def test_the_digest_is_of_the_pixels_alone() -> None:
    image = np.arange(64, dtype=np.uint8).reshape(8, 8) % 13
    digests = set()
    for data in (
        tiffs.by_gdal(image),
        tiffs.by_gdal(image, compress="lzw"),
        tiffs.by_gdal(image, compress="deflate", predictor=2),
        tiffs.by_tifffile(image, byteorder=">"),
    ):
        worker = decoder.Decoder(height_px=8, width_px=8, member_bytes=len(data))
        out = np.zeros(64 + decoder.PADDING_BYTES, dtype=np.uint8)
        digests.add(
            worker.decode(decoder.DecodeRequest(0, len(data), len(data), None), data, out).digest
        )
    assert len(digests) == 1


@pytest.mark.skipif(shared_data() is None, reason="the shared sample data are not here")
def test_the_official_sample_is_decoded_as_gdal_does() -> None:
    from scoring.engine.archive import listing as archive
    from scoring.engine.task import specification as specs

    folder = shared_data()
    assert folder is not None
    listing = archive.open_upload(
        folder / "official_sample" / "predictions_TOY.zip",
        spec=specs.load("flair-1"),
        expected_ids=(),
    )
    assert not listing.problems
    assert len(listing.members) == 50
    worker = decoder.Decoder(height_px=512, width_px=512, member_bytes=2_000_000)
    out = np.zeros(2**18 + decoder.PADDING_BYTES, dtype=np.uint8)
    for m in listing.members:
        task = decoder.DecodeRequest(m.method, m.compressed_bytes, m.size_bytes, m.crc32)
        stored = listing.read(m)
        worker.decode(task, stored, out)
        own = out[: 2**18].copy()
        worker.decode(task, stored, out, use_gdal=True)
        assert np.array_equal(own, out[: 2**18])
    listing.close()


def test_a_transposed_raster_is_reported_as_transposed() -> None:
    data = tiffs.handmade(np.zeros((64, 96), dtype=np.uint8))
    with pytest.raises(Refused, match="64 × 96") as refused:
        tiff.layout(data, height_px=96, width_px=64)
    assert refused.value.problem.code == "raster-transposed"
    assert tiff.layout(data, height_px=64, width_px=96).block_width_px == 96
