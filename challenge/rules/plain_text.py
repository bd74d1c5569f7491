"""What people write and others are shown, without what would steer a screen. Pure."""

from __future__ import annotations

import unicodedata

# Marks that turn the direction of what follows; joiners stay, scripts and emoji need them.
DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def one_line(text: str) -> str:
    """Return ``text`` as one line: no control or direction characters, single spaces.

    >>> one_line("  U-Net\\x1b[2J,\\n flips\\u202e ")
    'U-Net[2J, flips'
    """
    return " ".join("".join(c for c in text if c.isspace() or _is_plain(c)).split())


def lines(text: str) -> str:
    """Return ``text`` with its lines and tabs, without other control and direction characters.

    >>> lines(" a\\r\\n\\tb\\x07 ")
    'a\\n\\tb'
    """
    kept = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in kept if c in "\n\t" or _is_plain(c)).strip()


def _is_plain(character: str) -> bool:
    return unicodedata.category(character) not in {"Cc", "Cs"} and character not in DIRECTIONS
