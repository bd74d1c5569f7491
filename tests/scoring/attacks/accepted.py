# ruff: noqa: E501 (one case a line)
"""Everything that must be accepted, with the same pixels: (name, archive, code of the note)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import rasterio

from tests.scoring.attacks import tiffs, zips
from tests.scoring.attacks.tiffs import Pixels
from tests.scoring.attacks.world import NAMES, World, class_map
from tests.scoring.attacks.zips import Item


@dataclass(frozen=True)
class Accepted:
    """`note` is the one note expected, None for none.

    `not_checked` names what the browser cannot decode and therefore leaves to the server.
    """

    name: str
    build: Callable[[World], bytes]
    note: str | None = None
    not_checked: str | None = None


def written(
    name: str,
    write: Callable[[Pixels], bytes],
    note: str | None = None,
    *,
    not_checked: str | None = None,
) -> Accepted:
    """All three predictions, written otherwise."""
    return Accepted(
        f"tiff {name}",
        lambda w: w.archive(**{f"p{n}": write(p) for n, p in enumerate(w.pixels.values())}),
        note,
        not_checked or ("zstd" if "zstd" in name else None),
    )


def renamed(pattern: bytes) -> Callable[[World], bytes]:
    """The honest files under other names."""
    return lambda w: zips.archive([Item(pattern % n[5:11].encode(), w.files[n]) for n in NAMES])


def _by_zipfile(w: World, **options: bool) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in NAMES:
            if options.get("stream"):
                with archive.open(name, "w", force_zip64=True) as member:
                    member.write(w.files[name])
            else:
                archive.writestr(name, w.files[name])
    return out.getvalue()


class _Unseekable(io.RawIOBase):
    """What a program sees that writes a zip to a pipe: data descriptors are the result."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.parts.append(bytes(data))  # type: ignore[call-overload]
        return len(self.parts[-1])


def _piped(w: World) -> bytes:
    out = _Unseekable()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in NAMES:
            archive.writestr(name, w.files[name])
    return b"".join(out.parts)


def _descriptors(w: World, **form: bool) -> bytes:
    return zips.archive(
        [
            Item(n.encode(), d, flags=8, descriptor=zips.honest_descriptor(d, **form))
            for n, d in w.files.items()
        ]
    )


def _litter(w: World) -> bytes:
    litter = (
        b"__MACOSX/._PRED_061713.tif", b"__MACOSX/preds/x", b"preds/.DS_Store", b"preds/Thumbs.db",
        b"desktop.ini", b"preds/PRED_061713.tif.aux.xml", b"preds/._PRED_061714.tif",
    )  # fmt: skip
    return w.archive(*(Item(name, b"litter") for name in litter))


def _folders(w: World) -> bytes:
    folder = {"method": 0, "attributes": zips.DIRECTORY}
    return zips.archive(
        [
            Item(b"content/", **folder),  # type: ignore[arg-type]
            Item(b"content/preds/", **folder),  # type: ignore[arg-type]
            *(Item(b"content/preds/" + n.encode(), w.files[n]) for n in NAMES),
        ]
    )


def _constant(w: World) -> bytes:
    plain = tiffs.by_gdal(np.full((512, 512), 12, np.uint8), compress="lzw")
    return w.archive(p0=plain, p1=plain, p2=plain)


def _without_zero(w: World) -> bytes:
    return w.archive(
        **{f"p{n}": tiffs.by_gdal(class_map(n, low=1, high=12), compress="lzw") for n in range(3)}
    )


_GEO = {"transform": rasterio.Affine(0.2, 0, 9e5, 0, -0.2, 6.3e6), "crs": "EPSG:4326"}
_MIRROR = {"tags": {"OVERVIEW_FILE": "/etc/passwd"}}

ARCHIVES = [
    Accepted("by zipfile", _by_zipfile),
    Accepted("by zipfile, zip64 forced", lambda w: _by_zipfile(w, stream=True)),
    Accepted("by zipfile, to a pipe", _piped),
    Accepted("stored", lambda w: zips.archive([Item(n.encode(), d, method=0) for n, d in w.files.items()])),
    Accepted("zip64 everywhere", lambda w: zips.archive(
        [Item(n.encode(), d, zip64=True) for n, d in w.files.items()], zip64=True)),
    Accepted("descriptors", _descriptors),
    Accepted("descriptors without signature", lambda w: _descriptors(w, signed=False)),
    Accepted("descriptors of zip64", lambda w: _descriptors(w, wide=True)),
    Accepted("comments", lambda w: zips.archive(
        [Item(n.encode(), d, comment=b"c") for n, d in w.files.items()], comment=b"PK hello")),
    Accepted("other order", lambda w: zips.archive(w.items()[::-1])),
    Accepted("folders with entries", _folders),
    Accepted("folders without entries", renamed(b"a/b/c/PRED_%b.tif")),
    Accepted("PRED_IMG_", renamed(b"PRED_IMG_%b.tif")),
    Accepted("upper case suffix", renamed(b"PRED_%b.TIF")),
    Accepted("tiff suffix", renamed(b"PRED_%b.tiff")),
    Accepted("lower case", renamed(b"pred_%b.tif")),
    Accepted("dot folder", renamed(b"./PRED_%b.tif")),
    Accepted("folder of odd encoding", renamed(b"r\x82sultats/PRED_%b.tif")),
    Accepted("unix extras", lambda w: zips.archive(
        [Item(n.encode(), d, extra=b"UT\x05\x00\x03\x00\x00\x00\x00", local={"extra": b"UT\x09\x00" + bytes(9)})
         for n, d in w.files.items()])),
    Accepted("by dos", lambda w: zips.archive(
        [Item(n.encode(), d, system=0, attributes=0x20) for n, d in w.files.items()])),
    Accepted("litter", _litter, "note-ignored-files"),
]  # fmt: skip

RASTERS = [
    written("uncompressed", tiffs.by_gdal),
    written("georeferenced", lambda p: tiffs.by_gdal(p, **_GEO)),
    written("lzw predictor", lambda p: tiffs.by_gdal(p, compress="lzw", predictor=2)),
    written("deflate", lambda p: tiffs.by_gdal(p, compress="deflate")),
    written("deflate predictor", lambda p: tiffs.by_gdal(p, compress="deflate", predictor=2)),
    written("zstd", lambda p: tiffs.by_gdal(p, compress="zstd")),
    written("zstd predictor", lambda p: tiffs.by_gdal(p, compress="zstd", predictor=2)),
    written("packbits", lambda p: tiffs.by_gdal(p, compress="packbits")),
    written("tiled", lambda p: tiffs.by_gdal(p, tiled=True, blockxsize=256, blockysize=256)),
    written("tiled lzw", lambda p: tiffs.by_gdal(p, tiled=True, blockxsize=128, blockysize=64, compress="lzw")),
    written("tiled deflate predictor", lambda p: tiffs.by_gdal(
        p, tiled=True, blockxsize=208, blockysize=144, compress="deflate", predictor=2)),
    written("tile of 1024", lambda p: tiffs.by_gdal(p, tiled=True, blockxsize=1024, blockysize=1024, compress="lzw")),
    written("one strip", lambda p: tiffs.by_gdal(p, blockysize=512, compress="lzw")),
    written("strips of one row", lambda p: tiffs.by_gdal(p, blockysize=1, compress="lzw")),
    written("strips of 100 rows", lambda p: tiffs.by_gdal(p, blockysize=100, compress="deflate")),
    written("bigtiff", lambda p: tiffs.by_gdal(p, BIGTIFF="YES", compress="lzw")),
    written("big-endian", lambda p: tiffs.by_gdal(p, ENDIANNESS="BIG", compress="lzw")),
    written("big-endian bigtiff", lambda p: tiffs.by_gdal(p, ENDIANNESS="BIG", BIGTIFF="YES", compress="deflate")),
    written("overviews", lambda p: tiffs.by_gdal(p, overviews=[2, 4], compress="lzw")),
    written("internal mask", lambda p: tiffs.by_gdal(p, mask=(p > 3), compress="lzw")),
    written("nodata 0", lambda p: tiffs.by_gdal(p, nodata=0, compress="lzw")),
    written("palette", lambda p: tiffs.by_gdal(p, colormap={i: (i, i, 9, 255) for i in range(13)})),
    written("overview file named", lambda p: tiffs.by_gdal(p, tags=_MIRROR["tags"])),
    written("scale and offset", lambda p: tiffs.by_gdal(p, tags={"scale": "9", "offset": "7"})),
    written("min is white", lambda p: tiffs.by_gdal(p, PHOTOMETRIC="MINISWHITE"), "note-stored-values"),
    written("orientation", lambda p: tiffs.handmade(p, change={274: (3, (4,))}), "note-stored-values"),
    written("by tifffile", tiffs.by_tifffile),
    written("by tifffile lzw", lambda p: tiffs.by_tifffile(p, compression="lzw")),
    written("by tifffile ome", lambda p: tiffs.by_tifffile(p, ome=True)),
    written("by tifffile zlib tiles", lambda p: tiffs.by_tifffile(p, compression="zlib", tile=(64, 64))),
    written("by tifffile bigtiff", lambda p: tiffs.by_tifffile(p, bigtiff=True, byteorder=">")),
    written("by pillow", tiffs.by_pillow),
    written("by pillow lzw", lambda p: tiffs.by_pillow(p, compression="tiff_lzw")),
    written("by pillow deflate", lambda p: tiffs.by_pillow(p, compression="tiff_adobe_deflate")),
    written("by pillow packbits", lambda p: tiffs.by_pillow(p, compression="packbits")),
    written("handmade", tiffs.handmade),
    written("old deflate", lambda p: tiffs.handmade(p, compression=32946)),
    written("trailing bytes", lambda p: tiffs.handmade(p, tail=b"bytes behind the end")),
]  # fmt: skip

# Other pixels than the honest ones, legal all the same.
OTHER_PIXELS = [
    Accepted("all other", _constant, "note-constant-predictions"),
    Accepted("no building anywhere", _without_zero, "note-class-zero-absent"),
]

ACCEPTED = [*ARCHIVES, *RASTERS]
