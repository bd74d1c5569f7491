"""Names the format of a file by its first bytes, for messages about files of a wrong format."""

from __future__ import annotations

FORMATS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "RAR"),
    (0, b"\x1f\x8b", "gzip (tar.gz)"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (257, b"ustar", "tar"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "BigTIFF"),
    (0, b"MM\x00+", "BigTIFF"),
    (0, b"\x89PNG", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"\x93NUMPY", "NumPy"),
    (0, b"\x89HDF", "HDF5"),
    (0, b"CDF", "NetCDF"),
    (0, b"%PDF", "PDF"),
    (0, b"PK\x07\x08", "split zip"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"\x00\x00\x00\x0cjP", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"<VRTDataset", "VRT"),
    (0, b"<?xml", "XML"),
    (0, b"<", "XML or HTML"),
    (0, b"{", "JSON"),
    (0, b"MZ", "Windows program"),
    (0, b"\x7fELF", "program"),
    (0, b"\x00\x00\x00\x00", "unknown (starts with zeros)"),
)


def format_name(head: bytes) -> str:
    """What a file is, judged by its first 512 bytes: "7z", "PNG", "text", … or "unknown"."""
    for offset, magic, name in FORMATS:
        if head[offset : offset + len(magic)] == magic:
            return name
    stripped = head.lstrip(b" \t\r\n\xef\xbb\xbf")
    if stripped.startswith(b"<"):
        return "XML or HTML"
    if head and all(32 <= c < 127 or c in b"\t\r\n" for c in head):
        return "text"
    return "unknown"
