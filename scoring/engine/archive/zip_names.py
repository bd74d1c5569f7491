"""The names of a zip's entries: their text, and whether a reader could be misled by them.

Source: PKWARE APPNOTE 6.3.10, sections 4.4.4 (UTF-8 flag), 4.4.17 and 4.6.9 (Unicode path).
"""

from __future__ import annotations

import re
import zlib

MAX_NAME_BYTES = 1024
FLAG_UTF8 = 0x0800
BACKSLASH = (
    "holds a backslash, as Compress-Archive of Windows PowerShell 5.1 and programs of .NET before "
    "4.6.1 write it in place of a slash"
)
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ASCII_BACKSLASH = re.compile(rb"(?<![\x81-\xfe])\\")


def decode(raw: bytes, flags: int) -> str:
    """The name's text: UTF-8 where the flag says so or the bytes are it, else code page 437."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace") if flags & FLAG_UTF8 else raw.decode("cp437")


def check(name: str, raw: bytes, flags: int, unicode_field: bytes | None) -> tuple[str, str | None]:
    """(the name that is meant, why it may not be used or None when it may).

    `name` is what `decode` gives for `raw`, `unicode_field` the content of the Unicode path field.
    """
    if not raw:
        return name, "is empty"
    if len(raw) > MAX_NAME_BYTES:
        return name, "is too long"
    if flags & FLAG_UTF8 and name.encode() != raw:
        return name, "is not valid UTF-8"
    is_in_unicode = bool(flags & FLAG_UTF8)
    if unicode_field is not None and unicode_field[:1] == b"\x01":
        try:
            meant = unicode_field[5:].decode("utf-8")
        except UnicodeDecodeError:
            return name, "is not valid UTF-8"
        if meant != name:
            is_checked = int.from_bytes(unicode_field[1:5], "little") == zlib.crc32(raw)
            if raw.isascii() or flags & FLAG_UTF8 or not is_checked:
                return name, "is given twice, differently"
            name, is_in_unicode = meant, True
    has_backslash = "\\" in name and (
        is_in_unicode or name.encode() == raw or _ASCII_BACKSLASH.search(raw) is not None
    )
    return name, _unsafe_path(name, has_backslash=has_backslash)


def _unsafe_path(name: str, *, has_backslash: bool) -> str | None:
    """Why some reader could write this name outside of its folder or misread it; None if none.

    A backslash is none where it is half of a letter: in the code pages 932, 936 and 950 the byte
    0x5C behind one of 0x81 to 0xFE.
    """
    if _CONTROL.search(name) and name.rsplit("/", 1)[-1] != "Icon\r":
        return "holds a NUL or control character"
    if has_backslash:
        return BACKSLASH
    if name.startswith("/"):
        return "is absolute"
    if _DRIVE.match(name):
        return "holds a drive letter"
    if ".." in name and ".." in name.split("/"):
        return "leaves the archive with '..'"
    return None
