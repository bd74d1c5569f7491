# ruff: noqa: E501 (one case a line)
"""Attacks and oddities that no list named: refused with their code, or scored as GDAL reads them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
import rasterio

from tests.scoring.attacks import tiffs, zips
from tests.scoring.attacks.accepted import Accepted, written
from tests.scoring.attacks.table import Attack, changed, entry, first, lying
from tests.scoring.attacks.world import FIRST, NAMES, World
from tests.scoring.attacks.zips import Item

_PACKBITS, _ZSTD = 32773, 50000


def _fake_end(comment_bytes: int) -> bytes:
    """An end record of an empty archive whose comment does not reach the file's end."""
    return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, 0, 0, comment_bytes)


def _unicode_name(shown: bytes) -> bytes:
    name = FIRST.encode()
    return struct.pack("<2HBL", 0x7075, 5 + len(shown), 1, zlib.crc32(name)) + shown


def _end64(field: int, value: int, *, size: str = "<Q") -> bytes:
    """The honest archive with one field of its zip64 end record (or locator) changed."""
    world = World()
    data = bytearray(zips.archive(world.items(), zip64=True))
    struct.pack_into(size, data, len(data) - 22 - 20 - 56 + field, value)
    return bytes(data)


def _extensible(w: World) -> bytes:
    """A zip64 end record with a data sector behind its fields, as the standard allows."""
    data = zips.archive(w.items(), zip64=True)
    at = len(data) - 22 - 20 - 56
    sector = bytearray(data[: at + 56] + b"PK\1\2secret" + data[at + 56 :])
    struct.pack_into("<Q", sector, at + 4, 44 + 10)
    return bytes(sector)


def _before_end(record: bytes) -> bytes:
    data = World().archive()
    return data[:-22] + record + data[-22:]


def _third_at(offset: int) -> bytes:
    """The third entry's header lies at a zip64 offset."""
    w = World()
    return zips.archive(
        [*w.items()[:2], Item(NAMES[2].encode(), w.files[NAMES[2]], zip64=True, offset=offset)]
    )


def _honest_local(w: World) -> dict[str, int | bytes]:
    data = w.files[FIRST]
    return {"crc32": zlib.crc32(data), "stored_size": len(zips.deflate(data)), "size": len(data)}


def _packed(**settings: int) -> Callable[[bytes], bytes]:
    """Deflate with zlib's settings: a dictionary, no header, gzip's header."""

    def encode(data: bytes) -> bytes:
        packer = zlib.compressobj(**settings)  # type: ignore[arg-type]
        return packer.compress(data) + packer.flush()

    return encode


def _window(log: int) -> Callable[[bytes], bytes]:
    """zstd frames of raw blocks that ask for a window of 2^log bytes."""

    def encode(data: bytes) -> bytes:
        pieces = [data[at : at + 100_000] for at in range(0, len(data), 100_000)]
        blocks = [
            struct.pack("<L", len(piece) << 3 | (n + 1 == len(pieces)))[:3] + piece
            for n, piece in enumerate(pieces)
        ]
        return b"\x28\xb5\x2f\xfd\x00" + bytes([(log - 10) << 3]) + b"".join(blocks)

    return encode


def _zstd(data: bytes) -> bytes:
    return bytes(imagecodecs.zstd_encode(data))


def _many_values(w: World) -> bytes:
    """Twenty tags that all point at the same 900,000 values: little to send, much to read."""
    tags = (254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 322, 323,
            324, 325, 339)  # fmt: skip
    at = 8 + 2 + 12 * len(tags) + 4
    rows = b"".join(struct.pack("<2H2L", tag, 3, 900_000, at) for tag in tags)
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + rows + bytes(4)
    return w.archive(p0=head + bytes(range(1, 251)) * 7200)


def packbits(name: str, note: str | None = None, **tags: object) -> Accepted:
    """A raster for GDAL with odd tags: it must not matter in the cell either."""
    change = {int(k[1:]): v for k, v in tags.items()}
    return written(
        f"gdal with {name}",
        lambda p: tiffs.handmade(p, compression=_PACKBITS, change=change),  # type: ignore[arg-type]
        note,
    )


def odd(name: str, **tags: object) -> Accepted:
    """A plain raster with odd tags that mean nothing for its pixels."""
    change = {int(k[1:]): v for k, v in tags.items()}
    return written(f"with {name}", lambda p: tiffs.handmade(p, change=change))  # type: ignore[arg-type]


ATTACKS = [
    Attack("end record in the comment", lambda w: zips.archive(w.items(), comment=_fake_end(5) + b"xx"),
           "archive-damaged", "two end records", None),
    Attack("end record in a comment of 65,535 bytes", lambda w: zips.archive(
        w.items(), comment=(_fake_end(5) + b"x" * 70_000)[:65_535]), "archive-damaged", "two end records", None),
    Attack("half an end record in the comment", lambda w: zips.archive(w.items(), comment=b"PK\5\6abc"),
           "archive-damaged", "two end records", None),
    Attack("header at 2^63", lambda w: _third_at(2**63), "archive-overlap", "overlaps", NAMES[1]),
    Attack("header at 2^64 - 1", lambda w: _third_at(2**64 - 1), "archive-overlap", "overlaps", NAMES[1]),
    Attack("zip64 record of 2^63 bytes", lambda w: _end64(4, 2**63), "archive-damaged", "zip64", None),
    Attack("zip64 directory of 2^64 - 1 bytes", lambda w: _end64(40, 2**64 - 1), "archive-damaged", "not where", None),
    Attack("zip64 directory at 2^64 - 1", lambda w: _end64(48, 2**64 - 1), "archive-damaged", "not where", None),
    Attack("zip64 record at 2^63", lambda w: _end64(56 + 8, 2**63), "archive-damaged", "zip64", None),
    Attack("zip64 count of 2^64 - 1", lambda w: _end64(32, 2**64 - 1), "archive-multi-disk", "one", None),
    Attack("65,535 entries said", lambda w: zips.archive(w.items(), count=0xFFFF, here=0xFFFF),
           "archive-damaged", "zip64 end record", None),
    Attack("entries here and in all differ", lambda w: zips.archive(w.items(), here=1), "archive-multi-disk",
           "several", None),
    Attack("encrypted directory", lambda w: _before_end(b"PK\6\x08\x04\0\0\0abcd"), "archive-damaged",
           "not where", None),
    Attack("signature behind the directory", lambda w: _before_end(b"PK\5\5\x04\0abcd"), "archive-damaged",
           "not where", None),
    Attack("two archives in one file", lambda w: w.archive() * 2, "archive-damaged", "not where", None),
    Attack("archive behind a document", lambda w: b"%PDF-1.4\n" + w.archive(), "archive-prefix-bytes", "9 bytes", None),
    Attack("marker of a spanned archive", lambda w: b"PK00" + w.archive(), "archive-multi-disk", "one", None),
    Attack("masked headers", lying(flags=0x2000, local={"flags": 0x2000}), "member-encrypted", "password"),
    Attack("deflate with flag 0x10", lying(flags=0x10, local={"flags": 0x10}), "member-method", "flags"),
    Attack("another unicode name, local only", lying(local={"extra": _unicode_name(b"PRED_061714.tif")}),
           "member-header-mismatch", "name"),
    Attack("folder by the dos bit", lying(system=0, attributes=0x10), "member-not-regular", "folder"),
    Attack("folder by its mode", lying(attributes=zips.DIRECTORY), "member-not-regular", "folder"),
    Attack("descriptor without flag", lambda w: lying(
        descriptor=zips.honest_descriptor(w.files[FIRST]), local=_honest_local(w))(w),
        "archive-hidden-bytes", "16 bytes", NAMES[1]),
    Attack("descriptor of zeros", lying(flags=8, descriptor=bytes(16)), "member-header-mismatch", "descriptor"),
    Attack("two deflate streams", lambda w: zips.archive([Item(FIRST.encode(), w.files[FIRST], stored=zips.deflate(
        w.files[FIRST][:99]) + zips.deflate(w.files[FIRST][99:])), *w.items()[1:]]), "member-damaged", "fewer"),
    Attack("zlib for deflate", lambda w: zips.archive(
        [Item(FIRST.encode(), w.files[FIRST], stored=zlib.compress(w.files[FIRST])), *w.items()[1:]]),
        "member-damaged", "deflate"),
    *(Attack(f"name {name!a}", entry(name.encode(), data=b"x", flags=0x800), "member-unexpected", "named like", shown)
      for name, shown in (
        ("PRED_061713.tif.", "PRED_061713.tif."), ("PRED_061713.tif ", "PRED_061713.tif "),
        (" PRED_061713.tif", " PRED_061713.tif"), ("PRED_061713.tif:stream", "PRED_061713.tif:stream"),
        ("PRED_０６１７１３.tif", "PRED_０６１７１３.tif"), ("PRED_06171³.tif", "PRED_06171³.tif"),
        ("ＰRED_061713.tif", "ＰRED_061713.tif"), ("PRED_061713.tıf", "PRED_061713.tıf"),
        ("PRED\u200b_061713.tif", "PRED\\u200b_061713.tif"), ("CON.tif", "CON.tif"), ("aux", "aux"),
        ("PRED_0061713.tif", "PRED_0061713.tif"), ("PRED_+61713.tif", "PRED_+61713.tif"),
        ("{file}%s.tif", "{file}%s.tif"), ("$(id).tif", "$(id).tif"), ("__MACOSX", "__MACOSX"))),
    Attack("below a device's name", entry(b"NUL/PRED_061713.tif", data=b"x"), "duplicate-patch", "061713",
           "NUL/PRED_061713.tif"),
    Attack("below a hidden name", entry(b"x.aux.xml/PRED_061713.tif", data=b"x"), "duplicate-patch", "061713",
           "x.aux.xml/PRED_061713.tif"),
    Attack("tiff 262,144 tiles of a pixel", first(lambda w: tiffs.tiled(w.first, rows=1, columns=1)),
           "raster-structure", "multiples of 16"),
    Attack("tiff tiles 24 wide", first(lambda w: tiffs.tiled(w.first, rows=16, columns=24)), "raster-structure",
           "multiples of 16"),
    Attack("tiff 18,000,000 values of tags", _many_values, "raster-structure", "wrong type"),
    Attack("tiff mosaic of 5,000 strips", first(lambda w: tiffs.by_gdal(np.zeros((5000, 512), np.uint8),
           blockysize=1, compress="lzw")), "raster-size", "5000 × 512"),
    changed("raster-structure", "number of strips", "tile list of 2,000", t273=(4, tuple(range(8, 2008)))),
    changed("raster-structure", "missing", "strips in the header", t273=(4, (4, 65_544, 131_080, 196_616))),
    changed("raster-structure", "number of strips", "no rows per strip, four strips", t278=None),
    changed("raster-structure", "wrong type", "rational width", t256=(5, (512 | 1 << 32,))),
    changed("raster-structure", "wrong type", "signed width", t256=(8, (512,))),
    changed("raster-structure", "wrong type", "bits as a float", t258=(11, (8.0,))),
    changed("raster-structure", "wrong type", "two codecs", t259=(3, (1, 1))),
    changed("raster-structure", "reverse", "fill order 3", t266=(3, (3,)), compression=_PACKBITS),
    changed("raster-structure", "no image directory", "only an overview", t254=(4, (1,))),
    changed("raster-bands", "2 bands", "bits of two bands, samples unsaid", t258=(3, (8, 8)), t277=None),
    changed("raster-bands", "0 bands", "no samples", t277=(3, (0,))),
    changed("raster-codec", "codec 0", "codec 0", t259=(3, (0,))),
    changed("raster-type", "format 0", "sample format 0", t339=(3, (0,))),
    changed("raster-photometric", "32803", "colour filter array", t262=(3, (32803,))),
    changed("raster-predictor", "predictor 3", "float predictor, uncompressed", t317=(3, (3,))),
    changed("raster-structure", "wrong type", "three extra samples of one", compression=_PACKBITS, t338=(3, (0, 0, 0))),
    changed("raster-structure", "wrong type", "three extra samples, uncompressed", t338=(3, (0, 0, 0))),
    *(changed("raster-undecodable", "damaged", name, compression=code, encode=encode) for name, code, encode in (
        ("raw deflate", 8, _packed(wbits=-15)), ("gzip strips", 8, _packed(wbits=31)),
        ("deflate with a dictionary", 8, _packed(zdict=b"hello")),  # type: ignore[arg-type]
        ("deflate strip too long", 8, lambda d: zlib.compress(d + b"x")),
        ("deflate with another checksum", 8, lambda d: zlib.compress(d)[:-4] + b"\0\0\0\1"),
        ("deflate in two streams", 8, lambda d: zlib.compress(d[:999]) + zlib.compress(d[999:])),
        ("zstd in two frames", _ZSTD, lambda d: _zstd(d[:999]) + _zstd(d[999:])),
        ("zstd strip too short", _ZSTD, lambda d: _zstd(d[:-1])),
        ("zstd window of 2 GB", _ZSTD, _window(31)), ("zstd window of 2 TB", _ZSTD, _window(41)))),
]  # fmt: skip

ACCEPTED = [
    Accepted("zip64 record with a data sector", _extensible),
    Accepted("zip64 locator that counts no disk", lambda w: _end64(56 + 16, 0, size="<L")),
    Accepted("comment of 65,535 bytes", lambda w: zips.archive(w.items(), comment=b"c" * 65_535)),
    Accepted("stored with a descriptor", lambda w: zips.archive([
        Item(n.encode(), d, method=0, flags=8, descriptor=struct.pack(
            "<4s3L", b"PK\7\x08", zlib.crc32(d), len(d), len(d))) for n, d in w.files.items()])),
    Accepted("descriptors and sizes", lambda w: zips.archive([Item(
        FIRST.encode(), w.files[FIRST], flags=8, descriptor=zips.honest_descriptor(w.files[FIRST]),
        local=_honest_local(w)), *w.items()[1:]])),
    Accepted("the same unicode name, local only", lying(
        local={"extra": _unicode_name(FIRST.encode())})),
    Accepted("folder entry that is deflated", lambda w: w.archive(Item(b"d/", attributes=zips.DIRECTORY))),
    Accepted("large extra fields", lying(extra=struct.pack("<2H", 0x9999, 60_000) + bytes(60_000))),
    Accepted("alignment as of apk", lying(local={"extra": bytes(3)})),
    written("tiles of 16", lambda p: tiffs.tiled(p, rows=16, columns=16, compression=5)),
    written("tiles of 1024 × 16", lambda p: tiffs.tiled(p, rows=16, columns=1024, compression=8)),
    written("tiles of 48 × 32, zstd", lambda p: tiffs.tiled(p, rows=32, columns=48, compression=_ZSTD)),
    written("2^32 - 1 rows per strip", lambda p: tiffs.handmade(p, rows_per_strip=512, change={278: (4, (2**32 - 1,))})),
    written("no rows per strip", lambda p: tiffs.handmade(p, rows_per_strip=512, change={278: None})),
    *(written(f"{name}", lambda p, code=code, encode=encode: tiffs.handmade(p, compression=code, encode=encode))  # type: ignore[misc]
      for name, code, encode in (
        ("bytes behind deflate", 8, lambda d: zlib.compress(d) + b"tail"),
        ("bytes behind lzw", 5, lambda d: bytes(imagecodecs.lzw_encode(d)) + b"tail"),
        ("lzw that goes on", 5, lambda d: bytes(imagecodecs.lzw_encode(d + b"x" * 99))),
        ("packbits of many nothings", _PACKBITS, lambda d: b"\x80" * 99_999 + bytes(imagecodecs.packbits_encode(d))),
        ("zstd bomb behind the strip", _ZSTD, lambda d: _zstd(d + bytes(50_000_000))),
        ("zstd window of 128 MB", _ZSTD, _window(27)))),
    *(written(f"cog {codec}", lambda p, c=codec: tiffs.by_cog(p, compress=c)) for codec in ("lzw", "zstd")),  # type: ignore[misc]
    written("lambert 93, zstd", lambda p: tiffs.by_gdal(p, compress="zstd", crs="EPSG:2154")),
    written("rotated, packbits", lambda p: tiffs.by_gdal(
        p, compress="packbits", transform=rasterio.Affine(0.1, 0.2, 9e5, 0.3, -0.2, 6e6))),
    odd("sub-directories", t330=(4, (8, 2**31))),
    odd("exif in the header", t34665=(4, (0,)), t34853=(4, (4,))),
    odd("an extra sample", t338=(3, (2,))),
    odd("sample limits", t280=(3, (3,)), t281=(3, (4,))),
    odd("predictor 2, uncompressed", t317=(3, (2,))),
    odd("8-byte width in a classic file", t256=(16, (512,))),
    odd("bits as a byte", t258=(1, (8,))),
    odd("palette but no map", t262=(3, (3,))),
    packbits("sub-directories", t330=(4, tuple([8] * 4000))),
    packbits("exif nowhere", t34665=(4, (2**31,)), t34853=(4, (8,))),
    packbits("metadata 60,000 deep", t42112=(1, tuple(b"<GDALMetadata>" + b"<a>" * 60_000))),
    packbits("metadata of scale and bits", t42112=(1, tuple(
        b'<GDALMetadata><Item name="SCALE" sample="0" role="scale">9</Item><Item name="NBITS" '
        b'sample="0" domain="IMAGE_STRUCTURE">1</Item></GDALMetadata>\0'))),
    packbits("nodata of 100,000 digits", t42113=(1, tuple(b"9" * 100_000 + b"\0"))),
    packbits("60,000 keys", t34735=(3, (1, 1, 0, 65_535, *[1024, 0, 1, 1] * 60_000))),
    packbits("a matrix of nan", t34264=(12, (float("nan"),) * 16)),
    packbits("a colour table of another size", t262=(3, (3,)), t320=(3, (1,) * 7)),
    packbits("inverted grey", "note-stored-values", t262=(3, (0,))),
    packbits("predictor 2", t317=(3, (2,))),
    packbits("orientation 3", "note-stored-values", t274=(3, (3,))),
]  # fmt: skip
