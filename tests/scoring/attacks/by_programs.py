# ruff: noqa: E501 (one case a line)
"""What people's programs and systems make of an archive: refused in their words, or accepted."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from tests.scoring.attacks import tiffs, zips
from tests.scoring.attacks.accepted import Accepted, renamed, written
from tests.scoring.attacks.table import Attack, entry, first
from tests.scoring.attacks.tiffs import Pixels
from tests.scoring.attacks.world import NAMES, World
from tests.scoring.attacks.zips import Item

A = np.ascontiguousarray
_LZW_CLEAR, _LZW_END = 256, 257


def _old_lzw(data: bytes) -> bytes:
    """LZW as of before TIFF 6.0: codes of 9 bits from the least significant bit on, no strings."""
    codes: list[int] = []
    for at in range(0, len(data), 200):  # a clear before any code needs ten bits
        codes += [_LZW_CLEAR, *data[at : at + 200]]
    bits = np.array(
        [[code >> bit & 1 for bit in range(9)] for code in [*codes, _LZW_END]], np.uint8
    )
    return np.packbits(bits.reshape(-1), bitorder="little").tobytes()


def _typed(dtype: Any, **options: Any) -> Callable[[World], bytes]:
    return first(lambda w: tiffs.by_gdal(w.first.astype(dtype), **options))


def _probabilities(w: World) -> NDArray[np.float32]:
    """float32[13, 512, 512] of zeros and ones."""
    return (np.arange(13)[:, None, None] == w.first).astype(np.float32)


def _two_pages(w: World) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for _ in range(2):
            writer.write(w.first, compression="lzw")
    return out.getvalue()


def _with_sub_directory(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(pixels, compression="lzw", subifds=1)
        writer.write(A(pixels[::2, ::2]), compression="lzw", subfiletype=1)
    return out.getvalue()


def _windows(w: World) -> bytes:
    """As Compress-Archive of Windows PowerShell 5.1 packs a folder."""
    return zips.archive(
        [Item(b"preds\\" + n.encode(), w.files[n], system=0, attributes=0x20) for n in NAMES]
    )


def _last_part(w: World) -> bytes:
    """The last file of an archive that `zip -s` has split: it begins amid some data."""
    whole = zips.archive(w.items(), disk=1)
    return whole[1000:]


def _letters_with_backslash(page: str) -> list[bytes]:
    """The two-byte letters of a code page whose second byte is that of a backslash."""
    pairs = [bytes((lead, 0x5C)) for lead in range(0x81, 0xFF)]
    return [pair for pair in pairs if len(pair.decode(page, "ignore")) == 1]


def _padded(count: int, **options: Any) -> Callable[[World], bytes]:
    return lambda w: zips.archive(w.items(), suffix=bytes(count), **options)


ATTACKS = [
    Attack("one zero byte behind", _padded(1), "archive-zero-padding", "1 zero byte follows", None),
    Attack("zero bytes behind", _padded(512), "archive-zero-padding", "512 zero bytes", None),
    Attack("three megabytes of zeros behind", _padded(3_000_000), "archive-zero-padding", "truncate -s", None),
    Attack("zeros behind a comment", _padded(99, comment=b"made by a script"), "archive-zero-padding", "99 zero", None),
    Attack("zeros behind zip64", _padded(70_000, zip64=True), "archive-zero-padding", "70000 zero", None),
    Attack("zeros and more behind", lambda w: zips.archive(w.items(), suffix=bytes(99) + b"x"),
           "archive-suffix-bytes", "100 bytes", None),
    Attack("zeros for the second half", lambda w: w.archive()[:9000] + bytes(9000), "archive-truncated", "cut off", None),
    Attack("last part of a split archive", _last_part, "archive-multi-disk", "one single zip", None),
    Attack("middle part of a split archive", lambda w: w.archive()[1000:9000], "archive-not-zip", "unknown", None),
    Attack("packed by Compress-Archive", _windows, "member-name-unsafe",
           "Compress-Archive of Windows PowerShell 5.1 and programs of .NET before 4.6.1", "preds\\PRED_061713.tif"),
    Attack("backslash, example with its id", entry(b"a\\b.tif", data=b"x"), "member-name-unsafe", "such as PRED_061713.tif",
           "a\\b.tif"),
    Attack("backslash behind UTF-8 letters", entry("é\\PRED_061713.tif".encode(), data=b"x"), "member-name-unsafe",
           "backslash", "é\\PRED_061713.tif"),
    Attack("backslash behind flagged letters", entry("表\\PRED_061713.tif".encode(), data=b"x", flags=0x800),
           "member-name-unsafe", "backslash", "表\\PRED_061713.tif"),
    Attack("backslash behind a letter with one", entry(b"\x95\\\\PRED_061713.tif", data=b"x"), "member-name-unsafe",
           "backslash", "\\\\PRED_061713.tif"),
    Attack("traversal behind half of a letter", entry(b"\x95\\..\\PRED_061713.tif", data=b"x"), "member-name-unsafe",
           "backslash", "\\..\\PRED_061713.tif"),
    Attack("climbing out of such a folder", entry(b"\x95\\/../PRED_061713.tif", data=b"x"), "member-name-unsafe", "'..'",
           "\\/../PRED_061713.tif"),
    Attack("half of a letter in a file's name", entry(b"\x95\\PRED_061713.tif", data=b"x"), "member-unexpected",
           "named like", "\\PRED_061713.tif"),
    Attack("duplicate in such a folder", entry(b"\x95\\/PRED_061713.tif", data=b"x"), "duplicate-patch", "061713",
           "\\/PRED_061713.tif"),
    Attack("unflagged UTF-8 file", entry("é.tif".encode(), data=b"x"), "member-unexpected", "named like", "é.tif"),
    Attack("tiff int64", _typed(np.int64), "raster-type", "Pixels are int64: write uint8"),
    Attack("tiff int64 is too large, too", _typed(np.int64), "member-too-large", "2000000"),
    Attack("tiff int64 deflated", _typed(np.int64, compress="deflate"), "raster-type", "int64: write uint8"),
    Attack("tiff float64", _typed(np.float64), "raster-type", "float64: write uint8"),
    Attack("tiff float32", _typed(np.float32), "raster-type", "float32: write uint8"),
    Attack("tiff float32 predictor 3", _typed(np.float32, compress="deflate", predictor=3), "raster-type", "float32"),
    Attack("tiff complex128", _typed(np.complex128), "raster-type", "complex128"),
    Attack("tiff big-endian uint16", _typed(np.uint16, ENDIANNESS="BIG"), "raster-type", "uint16"),
    Attack("tiff int64 by tifffile", first(lambda w: tiffs.by_tifffile(w.first.astype(np.int64))), "raster-type", "int64"),
    Attack("tiff probabilities", first(lambda w: tiffs.by_gdal(_probabilities(w))), "raster-bands", "13 bands"),
    Attack("tiff mosaic that is too large", first(lambda w: tiffs.by_gdal(np.zeros((5000, 512), np.uint8))),
           "raster-size", "5000 × 512"),
    Attack("too large and no tiff", first(b"\x89PNG" + bytes(range(256)) * 9000), "member-too-large", "2304004"),
    Attack("tiff two pages by tifffile", first(_two_pages), "raster-pages", "2 full images"),
    Attack("tiff lzw cut short", first(lambda w: tiffs.handmade(
        w.first, compression=5, encode=lambda d: tiffs.encoder(5)(d)[:-900])), "raster-undecodable", "damaged"),
    Attack("tiff packbits cut short", first(lambda w: tiffs.handmade(
        w.first, compression=32773, encode=lambda d: tiffs.encoder(32773)(d)[:-900])), "raster-undecodable", "damaged"),
    Attack("tiff jpeg by pillow", first(lambda w: tiffs.by_pillow(w.first, compression="jpeg")), "raster-codec", "JPEG"),
    Attack("tiff jpeg 2000 by tifffile", first(lambda w: tiffs.by_tifffile(w.first, compression="jpeg2000")),
           "raster-codec", "JPEG 2000"),
    Attack("tiff one bit by pillow", first(lambda w: tiffs.by_pillow(w.first > 3)), "raster-type", "uint1"),
]  # fmt: skip

ACCEPTED = [
    *(Accepted(f"folder in {page}", renamed(f"{name}/".encode(page) + b"PRED_%b.tif")) for page, name in (
        ("cp932", "表示ソフト能力"), ("cp950", "功許蓋"), ("gbk", "乗漒"), ("cp949", "예측결과"), ("euc_jp", "表示"),
        ("cp1252", "résultats"), ("cp850", "prévisions"), ("cp1251", "результаты"), ("utf-8", "表示結果"))),
    *(Accepted(f"every letter of {page} with a backslash byte", renamed(b"".join(
        _letters_with_backslash(page)) + b"/PRED_%b.tif")) for page in ("cp932", "cp950", "gbk")),
    Accepted("folders of two-byte letters within each other", renamed("表/ソ/能/".encode("cp932") + b"PRED_%b.tif")),
    written("with a sub-directory by tifffile", _with_sub_directory),
    written("old lzw", lambda p: tiffs.handmade(p, compression=5, encode=_old_lzw), not_checked="old LZW"),
    Accepted("all codecs", lambda w: zips.archive([Item(n.encode(), tiffs.by_gdal(p, compress=c)) for (n, p, c) in zip(
        NAMES, w.pixels.values(), ("lzw", "zstd", "packbits"), strict=True)]), not_checked="zstd"),
]  # fmt: skip
