# ruff: noqa: E501 (one case a line: a table of every known attack, as long as they are many)
"""Everything that must be refused: (name, archive, code, fragment of the message, file named).

Each is *rejected*, never *failed*, never scored, whatever its kind.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import struct
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.scoring.attacks import tiffs, zips
from tests.scoring.attacks.world import FIRST, IDS, NAMES, World, class_map
from tests.scoring.attacks.zips import Item

A = np.ascontiguousarray


@dataclass(frozen=True)
class Attack:
    """`file` None means that the message names no file.

    `not_checked` names what the browser cannot decode here and therefore leaves to the server.
    """

    name: str
    build: Callable[[World], bytes]
    code: str
    fragment: str
    file: str | None = FIRST
    not_checked: str | None = None


def first(content: bytes | Callable[[World], bytes]) -> Callable[[World], bytes]:
    """The honest archive with the first file replaced."""
    return lambda w: w.archive(p0=content if isinstance(content, bytes) else content(w))


def changed(code: str, fragment: str, name: str, **tags: object) -> Attack:
    """An attack on one TIFF made by hand; t256=(4, (511,)) sets a tag, None drops it."""
    change = {int(k[1:]): v for k, v in tags.items() if k[0] == "t"}
    rest = {k: v for k, v in tags.items() if k[0] != "t"}
    is_zstd = rest.get("compression") == tiffs.ZSTD
    return Attack(
        f"tiff {name}",
        first(lambda w: tiffs.handmade(w.first, change=change, **rest)),  # type: ignore[arg-type]
        code,
        fragment,
        not_checked="zstd" if is_zstd else None,
    )


def entry(name: bytes, **fields: object) -> Callable[[World], bytes]:
    """The honest archive with one more entry."""
    return lambda w: w.archive(Item(name, **fields))  # type: ignore[arg-type]


def lying(**fields: object) -> Callable[[World], bytes]:
    """The honest archive whose first entry lies."""
    return lambda w: zips.archive(
        [Item(NAMES[0].encode(), w.files[FIRST], **fields), *w.items()[1:]]  # type: ignore[arg-type]
    )


def _tar(w: World) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in w.files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _vrt(source: str) -> bytes:
    return f"""<VRTDataset rasterXSize="512" rasterYSize="512"><VRTRasterBand dataType="Byte" band="1">
<ComplexSource><SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand>
<LUT>1:0,2:1,3:2</LUT></ComplexSource></VRTRasterBand></VRTDataset>""".encode()


def _overlap(w: World) -> bytes:
    """Two entries share one kernel of data, as in the better zip bombs."""
    items = w.items()
    return zips.archive([items[0], items[1], Item(NAMES[2].encode(), w.files[FIRST], offset=0)])


def _nested_quote(w: World) -> bytes:
    """Fifield's construction: each entry's data begin with the next local header, quoted."""
    kernel = zips.deflate(bytes(1_000_000))
    last = Item(NAMES[2].encode(), bytes(1_000_000)).filled()
    inner = zips.local_header(last) + kernel
    quote = b"\x00" + struct.pack(
        "<HH", len(inner) - len(kernel), ~(len(inner) - len(kernel)) & 0xFFFF
    )
    stored = quote + zips.local_header(last) + kernel
    size = len(zips.local_header(last)) + 1_000_000
    outer = Item(NAMES[1].encode(), stored=stored, size=size, crc32=1)
    base = len(zips.archive([w.items()[0]])) - 22 - 46 - len(FIRST)
    at = base + len(zips.local_header(outer.filled())) + len(quote)
    return zips.archive(
        [w.items()[0], outer, Item(last.name, bytes(1_000_000), offset=at, omit_local=True)]
    )


def _two_ends(w: World) -> bytes:
    inner = zips.archive([])
    return zips.archive(w.items(), comment=inner)


def _zip64_differs(w: World) -> bytes:
    data = bytearray(zips.archive(w.items(), zip64=True))
    struct.pack_into("<HH", data, len(data) - 14, 2, 2)  # the short record says two entries
    return bytes(data)


def _zip64_lost(w: World) -> bytes:
    return zips.archive(w.items(), count=0xFFFF, here=0xFFFF)


def _zip64_elsewhere(w: World) -> bytes:
    data = bytearray(zips.archive(w.items(), zip64=True))
    struct.pack_into("<Q", data, len(data) - 22 - 12, 4)
    return bytes(data)


def _many(w: World) -> bytes:
    """200,000 entries, ordinary in every other way."""
    return zips.crowd(200_000, name=b"_PRED.tif")


def _hidden_count(w: World) -> bytes:
    """The end record says one entry; the directory holds three."""
    return zips.archive(w.items(), count=1, here=1)


def _truncated_file(w: World) -> bytes:
    return w.archive()[:-300]


def _encrypted(w: World) -> bytes:
    return lying(flags=1, local={"flags": 1})(w)


def _cyclic(w: World) -> bytes:
    plain = tiffs.handmade(w.first)
    return w.archive(p0=tiffs.handmade(w.first, following=tiffs.directory_at(plain)))


def _many_directories(w: World) -> bytes:
    return w.archive(p0=tiffs.handmade(w.first, change={254: (4, (1,))}, more_pages=500))


def _bits(pixels: tiffs.Pixels, nbits: int) -> bytes:
    return tiffs.by_gdal(np.minimum(pixels, 2**nbits - 1), nbits=nbits)


def _values(w: World, value: int, count: int) -> bytes:
    pixels = w.first.copy()
    pixels.reshape(-1)[:count] = value
    return w.with_first(pixels)


def _one_based(w: World) -> bytes:
    changed = {f"p{n}": tiffs.by_gdal(w.pixels[i] + 1, compress="lzw") for n, i in enumerate(IDS)}
    return w.archive(**changed)


def _masks(w: World) -> bytes:
    """Labels 1 to 19, neither reduced nor shifted, under the predictions' names."""
    masks = [class_map(n, low=1, high=19) for n in range(len(IDS))]
    return w.archive(**{f"p{n}": tiffs.by_gdal(m, compress="lzw") for n, m in enumerate(masks)})


def _damaged_strip(w: World) -> bytes:
    """Deflate damage inside the TIFF, with the zip's checksum made to fit."""
    data = bytearray(tiffs.handmade(w.first, compression=8))
    data[40:60] = bytes(20)
    return w.archive(p0=bytes(data))


def _short_strip(w: World, compression: int) -> bytes:
    """Every strip holds half of its rows, validly compressed."""
    half = w.first[:256]
    data = tiffs.handmade(half, rows_per_strip=64, compression=compression, change={
        257: (4, (512,)), 278: (4, (128,))})  # fmt: skip
    return w.archive(p0=data)


def _big_tile(side: int) -> bytes:
    """512 × 512 pixels declared as one enormous tile: 300 bytes that cost 2 GB to open."""
    return tiffs.handmade(
        np.zeros((1, 1), dtype=np.uint8),
        change={
            256: (4, (512,)), 257: (4, (512,)), 259: (3, (8,)), 273: None, 278: None, 279: None,
            322: (4, (side,)), 323: (4, (side,)), 324: (4, (8,)), 325: (4, (1,)),
        },
    )  # fmt: skip


def _bomb(w: World) -> bytes:
    """1.9 MB of zeros in 2 kB is legal deflate; as a TIFF it is nothing."""
    return w.archive(p0=bytes(1_900_000))


def _inflating(more: bytes, less: int = 0) -> Callable[[World], bytes]:
    """The first entry's data are not as long as announced."""

    def build(w: World) -> bytes:
        data = w.files[FIRST]
        stored = zips.deflate(data[: len(data) - less] + more)
        return zips.archive([Item(FIRST.encode(), data, stored=stored), *w.items()[1:]])

    return build


GDAL_TEXTS = {
    "vrt naming a label": _vrt("/labels/MSK_061713.tif"),
    "vrt naming a url": _vrt("/vsicurl/http://127.0.0.1:9/x.tif"),
    "vrt raw band": b'<VRTDataset rasterXSize="512" rasterYSize="512"><VRTRasterBand dataType='
    b'"Byte" band="1" subClass="VRTRawRasterBand"><SourceFilename>/etc/passwd</SourceFilename>'
    b"</VRTRasterBand></VRTDataset>",
    "gti": b"<GDALTileIndexDataset><IndexDataset>/labels</IndexDataset></GDALTileIndexDataset>",
    "mrf": b"<MRF_META><Raster><Size x='512' y='512'/><DataFile>/tmp/x</DataFile></Raster></MRF_META>",
    "wms": b'<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:9/</ServerUrl></Service></GDAL_WMS>',
    "wmts": b"<GDAL_WMTS><GetCapabilitiesUrl>http://127.0.0.1:9/</GetCapabilitiesUrl></GDAL_WMTS>",
    "stacit": b'STACIT:"http://127.0.0.1:9/items"',
    "pds": b'PDS_VERSION_ID = PDS3\r\nFILE_RECORDS = 1\r\n^IMAGE = "../MSK_061713.tif"\r\n',
    "isis": b'CCSD3ZF0000100000001NJPL3IF0PDS200000001 = SFDU_LABEL\r\n^QUBE = "/etc/passwd"\r\n',
    "envi": b"ENVI\nsamples = 512\nlines = 512\nbands = 1\ndata type = 1\n",
    "aaigrid": b"ncols 512\nnrows 512\nxllcorner 0\nyllcorner 0\ncellsize 1\n0 0 0\n",
    "netcdf": b"CDF\x01" + bytes(64),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(64),
    "jpeg 2000": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(64),
    "numpy": b"\x93NUMPY\x01\x00" + bytes(128),
    "json": json.dumps({"type": "FeatureCollection"}).encode(),
    "html": b"<!doctype html><script>alert(1)</script>",
    "text": b"061713,0\n" * 50,
    "zip": zips.archive([Item(b"x", b"x")]),
    "zeros": bytes(4096),
    "empty": b"",
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
}

ARCHIVES = [
    Attack("empty file", lambda w: b"", "archive-empty-file", "0 bytes", None),
    Attack("7z", lambda w: b"7z\xbc\xaf\x27\x1c" + bytes(99), "archive-not-zip", "7z", None),
    Attack("rar", lambda w: b"Rar!\x1a\x07\x01\x00" + bytes(99), "archive-not-zip", "RAR", None),
    Attack("tar", _tar, "archive-not-zip", "tar", None),
    Attack("tar.gz", lambda w: gzip.compress(_tar(w)), "archive-not-zip", "gzip", None),
    Attack("xz", lambda w: lzma.compress(_tar(w)), "archive-not-zip", "xz", None),
    Attack("lone tiff", lambda w: w.files[FIRST], "archive-not-zip", "TIFF", None),
    Attack("text", lambda w: b"hello\n", "archive-not-zip", "text", None),
    Attack("html page", lambda w: b"<!doctype html><html>", "archive-not-zip", "HTML", None),
    Attack("noise", lambda w: bytes(range(1, 256)) * 9, "archive-not-zip", "unknown", None),
    Attack("vrt", lambda w: _vrt("/etc/passwd"), "archive-not-zip", "VRT", None),
    Attack("empty zip", lambda w: zips.archive([]), "archive-no-entries", "empty", None),
    Attack("only folders", lambda w: zips.archive([Item(b"a/", method=0, attributes=zips.DIRECTORY)]),
           "archive-no-predictions", "PRED_061713.tif", None),
    Attack("cut at the end", _truncated_file, "archive-truncated", "cut off", None),
    Attack("half", lambda w: w.archive()[: len(w.archive()) // 2], "archive-truncated", "cut", None),
    Attack("only a local header", lambda w: w.archive()[:40], "archive-truncated", "cut", None),
    Attack("suffix bytes", lambda w: zips.archive(w.items(), suffix=b"x" * 7),
           "archive-suffix-bytes", "7 bytes", None),
    Attack("prefix bytes", lambda w: zips.archive(w.items(), prefix=b"MZ" + bytes(98)),
           "archive-prefix-bytes", "100 bytes", None),
    Attack("prefix bytes unshifted", lambda w: zips.archive(w.items(), prefix=bytes(50), shifted=False),
           "archive-prefix-bytes", "50 bytes", None),
    Attack("hidden bytes", lambda w: zips.archive(w.items(), gap=b"x" * 30),
           "archive-hidden-bytes", "30 bytes", NAMES[2]),
    Attack("hidden entry", lambda w: zips.archive(
        w.items(), gap=zips.local_header(Item(FIRST.encode(), b"x").filled()) + zips.deflate(b"x")),
        "archive-hidden-bytes", "belong to none", NAMES[2]),
    Attack("two end records", _two_ends, "archive-damaged", "two end records", None),
    Attack("zip64 differs", _zip64_differs, "archive-damaged", "zip64 form differ", None),
    Attack("zip64 record lost", _zip64_lost, "archive-damaged", "zip64 end record", None),
    Attack("zip64 locator elsewhere", _zip64_elsewhere, "archive-damaged", "zip64", None),
    Attack("directory elsewhere", lambda w: zips.archive(w.items(), offset=3),
           "archive-damaged", "not where", None),
    Attack("directory far away", lambda w: zips.archive(w.items(), offset=2**31),
           "archive-damaged", "not where", None),
    Attack("directory too short", lambda w: zips.archive(w.items(), count=4, here=4),
           "archive-damaged", "cut off", None),
    Attack("more entries than counted", _hidden_count, "archive-damaged", "left over", None),
    Attack("several disks", lambda w: zips.archive(w.items(), disk=1), "archive-multi-disk",
           "several files", None),
    Attack("split marker", lambda w: b"PK\x07\x08" + w.archive(), "archive-multi-disk", "one", None),
    Attack("entry on another disk", entry(b"x.tif", disk=3), "archive-multi-disk", "several", None),
    Attack("200,000 entries", _many, "archive-too-many-entries", "200000", None),
    Attack("overlapping entries", _overlap, "archive-overlap", "overlaps"),
    Attack("quoted overlap bomb", _nested_quote, "archive-overlap", "overlaps", NAMES[1]),
    Attack("sum too large", lambda w: zips.archive([
        Item(b"PRED_%06d.tif" % n, stored=bytes(4_000_000), size=4_000_000_000, crc32=0)
        for n in range(2)]), "archive-inflates-too-large", "8000000000", None),
]  # fmt: skip

MEMBERS = [
    Attack("encrypted", _encrypted, "member-encrypted", "password"),
    Attack("strongly encrypted", lying(flags=0x41, local={"flags": 0x41}), "member-encrypted", "password"),
    Attack("aes", lying(method=99), "member-encrypted", "password"),
    Attack("bzip2", lying(method=12), "member-method", "bzip2"),
    Attack("lzma", lying(method=14), "member-method", "LZMA"),
    Attack("zstd", lying(method=93), "member-method", "zstd"),
    Attack("deflate64", lying(method=9), "member-method", "deflate64"),
    Attack("unknown method", lying(method=77), "member-method", "method 77"),
    Attack("patched data flag", lying(flags=0x20, local={"flags": 0x20}), "member-method", "flags"),
    Attack("symbolic link", entry(b"PRED_x.tif", data=b"/etc/passwd", attributes=zips.LINK),
           "member-not-regular", "symbolic link", "PRED_x.tif"),
    Attack("link by a dos archiver", entry(b"l.tif", data=b"/x", attributes=zips.LINK, system=0),
           "member-not-regular", "symbolic link", "l.tif"),
    Attack("fifo", entry(b"f.tif", attributes=zips.FIFO), "member-not-regular", "pipe", "f.tif"),
    Attack("folder with content", entry(b"d/", data=b"x"), "member-not-regular", "folder", "d/"),
    Attack("traversal", entry(b"../../PRED_061713.tif", data=b"x"), "member-name-unsafe", "'..'",
           "../../PRED_061713.tif"),
    Attack("inner traversal", entry(b"a/../b.tif", data=b"x"), "member-name-unsafe", "'..'", "a/../b.tif"),
    Attack("absolute", entry(b"/etc/cron.d/x", data=b"x"), "member-name-unsafe", "absolute", "/etc/cron.d/x"),
    Attack("backslash", entry(b"a\\..\\x.tif", data=b"x"), "member-name-unsafe", "backslash", "a\\..\\x.tif"),
    Attack("drive letter", entry(b"C:x.tif", data=b"x"), "member-name-unsafe", "drive", "C:x.tif"),
    Attack("unc", entry(b"//host/x.tif", data=b"x"), "member-name-unsafe", "absolute", "//host/x.tif"),
    Attack("nul in name", entry(b"PRED_061713.tif\0.png", data=b"x"), "member-name-unsafe", "NUL",
           "PRED_061713.tif\\u0000.png"),
    Attack("escape in name", entry(b"\x1b[2J.tif", data=b"x"), "member-name-unsafe", "control",
           "\\u001b[2J.tif"),
    Attack("bidi in name", entry("PRED_\u202efit.exe".encode(), data=b"x", flags=0x800),
           "member-unexpected", "not a prediction", "PRED_\\u202efit.exe"),
    Attack("no name", entry(b"", data=b"x"), "member-name-unsafe", "empty", ""),
    Attack("long name", entry(b"a" * 5000 + b".tif", data=b"x"), "member-name-unsafe", "too long", "…"),
    Attack("bad utf-8", entry(b"\xff\xfe.tif", data=b"x", flags=0x800), "member-name-unsafe", "UTF-8",
           "\ufffd\ufffd.tif"),
    Attack("second unicode name", lying(extra=struct.pack("<2HBL", 0x7075, 20, 1, zlib.crc32(FIRST.encode()))
           + b"PRED_061714.tif"), "member-name-unsafe", "twice"),
    Attack("script name", entry(b"<script>alert(1)</script>", data=b"x"), "member-unexpected",
           "not a prediction", "<script>alert(1)</script>"),
    Attack("formula name", entry(b"=cmd|x", data=b"x"), "member-unexpected", "named like", "=cmd|x"),
    Attack("emoji digits", entry("PRED_٠٦١٧١٣.tif".encode(), data=b"x", flags=0x800), "member-unexpected",
           "named like", "PRED_٠٦١٧١٣.tif"),
    Attack("readme", entry(b"README.md", data=b"x"), "member-unexpected", "README.md", "README.md"),
    Attack("world file", entry(b"PRED_061713.tfw", data=b"1"), "member-unexpected", "Rename", "PRED_061713.tfw"),
    Attack("overview sidecar", entry(b"PRED_061713.tif.ovr", data=b"1"), "member-unexpected", "Rename",
           "PRED_061713.tif.ovr"),
    Attack("mask sidecar", entry(b"PRED_061713.tif.msk", data=b"1"), "member-unexpected", "Rename",
           "PRED_061713.tif.msk"),
    Attack("png prediction", entry(b"PRED_061713.png", data=b"1"), "member-unexpected", "named like",
           "PRED_061713.png"),
    Attack("newline after id", entry(b"PRED_061713\n.tif", data=b"1"), "member-name-unsafe", "control",
           "PRED_061713\\u000a.tif"),
    Attack("nested zip", lambda w: zips.archive([Item(b"preds.zip", w.archive())]),
           "member-nested-archive", "zip", "preds.zip"),
    Attack("nested tar", entry(b"p.tar.gz", data=b"x"), "member-nested-archive", "gz", "p.tar.gz"),
    Attack("huge member", lambda w: zips.archive([Item(FIRST.encode(), bytes(2_000_001)), *w.items()[1:]]),
           "member-too-large", "2000001"),
    Attack("terabyte announced", lying(size=2**31), "member-size-impossible", "cannot become"),
    Attack("stored sizes differ", lying(method=0, size=5), "member-size-impossible", "cannot become"),
    Attack("deflate padding", lying(stored=b"\0\0\0\xff\xff" * 99_999, size=100),
           "member-size-impossible", "cannot become"),
    Attack("local name differs", lying(local={"name": b"PRED_061715.tif"}), "member-header-mismatch", "name"),
    Attack("local method differs", lying(local={"method": 0}), "member-header-mismatch", "method"),
    Attack("local flags differ", lying(local={"flags": 0x800}), "member-header-mismatch", "flags"),
    Attack("local size differs", lying(local={"size": 9}), "member-header-mismatch", "size"),
    Attack("local checksum differs", lying(local={"crc32": 9}), "member-header-mismatch", "checksum"),
    Attack("local zip64 lacks sizes", lying(local={"size": 0xFFFFFFFF}), "member-header-mismatch", "size"),
    Attack("no local header", lying(offset=5), "archive-prefix-bytes", "5 bytes", None),
    Attack("bad descriptor", lying(flags=8, descriptor=b"PK\x07\x08" + bytes(12)), "member-header-mismatch",
           "descriptor"),
    Attack("missing descriptor", lying(flags=8, descriptor=b""), "member-header-mismatch", "descriptor"),
    Attack("broken extra field", lying(extra=b"\x01\x00\xff\xff\x00"), "member-header-mismatch", "extra"),
    Attack("two zip64 fields", lying(extra=(b"\x01\x00\x00\x00" * 2)), "member-header-mismatch", "extra"),
    Attack("wrong checksum", lying(crc32=0xDEADBEEF, local={"crc32": 0xDEADBEEF}), "member-crc", "checksum"),
    Attack("broken deflate", lying(stored=b"\xff" * 5000), "member-damaged", "deflate"),
    Attack("inflates to more", _inflating(bytes(9)), "member-damaged", "more bytes"),
    Attack("inflates to less", _inflating(b"", less=9), "member-damaged", "fewer bytes"),
    Attack("deflate without end", lambda w: zips.archive(
        [Item(FIRST.encode(), w.files[FIRST], stored=zips.deflate(w.files[FIRST])[:-3]), *w.items()[1:]]),
        "member-damaged", "fewer"),
    Attack("bytes after deflate", lambda w: zips.archive(
        [Item(FIRST.encode(), w.files[FIRST], stored=zips.deflate(w.files[FIRST]) + b"tail"), *w.items()[1:]]),
        "member-damaged", "deflate"),
]  # fmt: skip

IDENTITY = [
    Attack("same name twice", entry(FIRST.encode(), data=b"x"), "duplicate-patch", "one file per patch"),
    Attack("other form, other folder", entry(b"a/PRED_IMG_061713.tif", data=b"x"), "duplicate-patch",
           "061713", "a/PRED_IMG_061713.tif"),
    Attack("other case", entry(b"pred_061713.TIF", data=b"x"), "duplicate-patch", "061713", "pred_061713.TIF"),
    Attack("unknown id", entry(b"PRED_999999.tif", data=b"x"), "unknown-patch", "999999", "PRED_999999.tif"),
    Attack("one missing", lambda w: zips.archive(w.items()[1:]), "missing-patches", "1 of 3", None),
    Attack("wrong challenge", lambda w: zips.archive(
        [Item(b"PRED_%06d.tif" % n, w.files[FIRST]) for n in (77413, 77414)]),
        "foreign-patches", "FLAIR #2", "PRED_077413.tif"),
    Attack("masks instead", lambda w: zips.archive([Item(b"MSK_061713.tif", w.files[FIRST])]),
           "member-unexpected", "PRED_061713.tif", "MSK_061713.tif"),
]  # fmt: skip

NOT_TIFF = [
    Attack(f"not a tiff: {name}", first(data), "raster-not-tiff", "not TIFF")
    for name, data in GDAL_TEXTS.items()
] + [
    Attack(f"not a tiff: {name}", first(lambda w, f=name: tiffs.by_pillow(w.first, f)),  # type: ignore[misc]
           "raster-not-tiff", name)
    for name in ("PNG", "JPEG", "GIF", "BMP")
]  # fmt: skip

STRUCTURE = [
    Attack("tiff header only", first(b"II*\0\x08\0\0"), "raster-truncated", "header"),
    Attack("tiff directory beyond", first(b"II*\0\xff\xff\xff\x7f"), "raster-truncated", "beyond"),
    Attack("tiff without directory", first(b"II*\0\0\0\0\0"), "raster-structure", "no image"),
    Attack("tiff bad bigtiff", first(b"II+\0\x04\0\0\0" + bytes(16)), "raster-structure", "BigTIFF"),
    Attack("tiff 65535 tags", first(b"II*\0\x08\0\0\0\xff\xff" + bytes(800_000)), "raster-structure", "too many"),
    Attack("tiff bigtiff 2^60 tags", first(b"II+\0\x08\0\0\0\x10" + bytes(7) + b"\0" * 7 + b"\x10" + bytes(40)),
           "raster-structure", "too many"),
    Attack("tiff cyclic directories", _cyclic, "raster-structure", "cycle"),
    Attack("tiff 500 directories", _many_directories, "raster-structure", "director"),
    changed("raster-pages", "2 full images", "two pages", more_pages=1),
    changed("raster-truncated", "beyond", "next directory beyond", following=2**30),
    changed("raster-structure", "twice", "tag twice", repeat=256),
    changed("raster-structure", "required tag", "no width", t256=None),
    changed("raster-structure", "required tag", "no offsets", t273=None),
    changed("raster-structure", "required tag", "no byte counts", t279=None),
    changed("raster-structure", "wrong type", "float width", t256=(11, (512.0,))),
    changed("raster-structure", "wrong type", "two widths", t256=(4, (512, 512))),
    changed("raster-structure", "number of strips", "too few offsets", t273=(4, (8, 9))),
    changed("raster-structure", "number of strips", "absurd strip count", t278=(4, (1,))),
    changed("raster-structure", "wrong type", "zero rows per strip", t278=(4, (0,))),
    changed("raster-structure", "missing", "zero offsets", t273=(4, (0, 0, 0, 0))),
    changed("raster-structure", "missing", "zero sizes", t279=(4, (0, 0, 0, 0))),
    changed("raster-structure", "missing", "short sizes", t279=(4, (65536, 65536, 65536, 10))),
    changed("raster-structure", "overlap", "one strip for all", t273=(4, (8, 8, 8, 8))),
    changed("raster-truncated", "beyond", "strip outside", t273=(4, (8, 9**6, 9**7, 9**8))),
    changed("raster-truncated", "beyond", "huge sizes", t279=(4, (65536, 65536, 65536, 2**31))),
    changed("raster-structure", "mixed", "strips and tiles", t322=(4, (256,)), t323=(4, (256,))),
    changed("raster-structure", "reverse", "fill order 2", t266=(3, (2,))),
    changed("raster-structure", "no image directory", "only a mask", t254=(4, (4,))),
    changed("raster-structure", "wrong type", "planar 9", t284=(3, (9,))),
    changed("raster-codec", "JPEG", "jpeg", t259=(3, (7,))),
    changed("raster-codec", "old JPEG", "old jpeg", t259=(3, (6,))),
    changed("raster-codec", "WebP", "webp", t259=(3, (50001,))),
    changed("raster-codec", "LERC", "lerc", t259=(3, (34887,))),
    changed("raster-codec", "CCITT", "fax", t259=(3, (3,))),
    changed("raster-codec", "LZMA", "lzma", t259=(3, (34925,))),
    changed("raster-codec", "codec 12345", "unknown codec", t259=(3, (12345,))),
    changed("raster-predictor", "predictor 3", "float predictor", t317=(3, (3,)), compression=8),
    changed("raster-photometric", "RGB", "rgb", t262=(3, (2,))),
    changed("raster-photometric", "YCbCr", "ycbcr", t262=(3, (6,))),
    changed("raster-bands", "3 bands", "three samples", t277=(3, (3,)), t258=(3, (8, 8, 8))),
    changed("raster-type", "int8", "signed", t339=(3, (2,))),
    changed("raster-type", "float8", "float bits", t339=(3, (3,))),
    changed("raster-type", "undefined8", "undefined", t339=(3, (4,))),
    changed("raster-type", "uint16", "16 bits", t258=(3, (16,))),
    changed("raster-type", "uint1", "no bits tag", t258=None),
    changed("raster-size", "511 × 512", "short by a row", t257=(4, (511,))),
    changed("raster-size", "4294967295", "huge", t256=(4, (2**32 - 1,)), t257=(4, (2**32 - 1,))),
    changed("raster-size", "0 × 512", "no rows", t257=(4, (0,))),
    Attack("tiff huge tile", first(_big_tile(46336)), "raster-block", "46336"),
    Attack("tiff tile 2048", first(_big_tile(2048)), "raster-block", "2048"),
    Attack("tiff tile of no size", first(_big_tile(0)), "raster-structure", "wrong type"),
    Attack("tiff 1 × 1", first(tiffs.handmade(np.zeros((1, 1), np.uint8))), "raster-size", "1 × 1"),
    Attack("tiff 256", first(lambda w: tiffs.by_gdal(A(w.first[::2, ::2]))), "raster-size", "256 × 256"),
    Attack("tiff two bands", first(lambda w: tiffs.by_gdal(A(np.stack([w.first] * 2)))), "raster-bands", "2"),
    Attack("tiff planar bands", first(lambda w: tiffs.by_gdal(A(np.stack([w.first] * 3)), interleave="band")),
           "raster-bands", "3"),
    Attack("tiff uint16", first(lambda w: tiffs.by_gdal(w.first.astype(np.uint16))), "raster-type", "uint16"),
    Attack("tiff int16", first(lambda w: tiffs.by_gdal(w.first.astype(np.int16))), "raster-type", "int16"),
    Attack("tiff int8", first(lambda w: tiffs.by_gdal(w.first.astype(np.int8))), "raster-type", "int8"),
    Attack("tiff float nan", first(lambda w: tiffs.by_gdal(np.full((512, 512), np.nan, np.float32))),
           "raster-type", "float32"),
    Attack("tiff int32", first(lambda w: tiffs.by_gdal(w.first.astype(np.int32))), "raster-type", "int32"),
    changed("raster-type", "complex64", "complex", t339=(3, (6,)), t258=(3, (64,))),
    Attack("tiff nbits 4", first(lambda w: _bits(w.first, 4)), "raster-type", "uint4"),
    Attack("tiff nbits 1", first(lambda w: _bits(w.first, 1)), "raster-type", "uint1"),
    Attack("tiff jpeg by gdal", first(lambda w: tiffs.by_gdal(w.first, compress="jpeg")), "raster-codec", "JPEG"),
    Attack("tiff webp by gdal", first(lambda w: tiffs.by_gdal(A(np.stack([w.first] * 3)), compress="webp")),
           "raster-bands", "3"),
    Attack("tiff lerc by gdal", first(lambda w: tiffs.by_gdal(w.first, compress="lerc")), "raster-codec", "LERC"),
    Attack("tiff rgb by pillow", first(lambda w: tiffs.by_pillow(A(np.dstack([w.first] * 3)))), "raster-bands", "3"),
    Attack("tiff sparse", first(lambda w: tiffs.by_gdal(np.zeros((512, 512), np.uint8), sparse_ok=True)),
           "raster-structure", "missing"),
    Attack("tiff truncated", first(lambda w: tiffs.by_tifffile(w.first)[:-1000]), "raster-truncated", "cut off"),
    Attack("tiff damaged deflate", _damaged_strip, "raster-undecodable", "damaged"),
    Attack("tiff half strips lzw", lambda w: _short_strip(w, 5), "raster-undecodable", "damaged"),
    Attack("tiff half strips deflate", lambda w: _short_strip(w, 8), "raster-undecodable", "damaged"),
    Attack("tiff half strips packbits", lambda w: _short_strip(w, 32773), "raster-undecodable", "damaged"),
    Attack("tiff lzw noise", first(lambda w: tiffs.handmade(w.first, change={259: (3, (5,))})),
           "raster-undecodable", "damaged", not_checked="old LZW"),
    Attack("tiff zstd noise", first(lambda w: tiffs.handmade(w.first, change={259: (3, (50000,))})),
           "raster-undecodable", "damaged", not_checked="zstd"),
    Attack("zeros for a tiff", _bomb, "raster-not-tiff", "zeros"),
]  # fmt: skip

VALUES = [
    Attack("value 13", lambda w: _values(w, 13, 312), "values-out-of-range", "13: 312 px"),
    Attack("value 255", lambda w: _values(w, 255, 99), "values-out-of-range", "255: 99 px"),
    Attack("many values", lambda w: w.with_first(np.arange(2**18, dtype=np.uint32).reshape(512, 512).astype(np.uint8)),
           "values-out-of-range", "…"),
    Attack("one-based", _one_based, "values-one-based", "have value 13; allowed are 0 to 12. Predictions are 0-based: subtract 1"),
    Attack("whole masks", _masks, "values-one-based", "subtract 1"),
]  # fmt: skip

ATTACKS = [*ARCHIVES, *MEMBERS, *IDENTITY, *NOT_TIFF, *STRUCTURE, *VALUES]
