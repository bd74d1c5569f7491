"""The languages of the site, in which a challenge's pages and texts may be written. Pure."""

from __future__ import annotations

from collections.abc import Iterable

LANGUAGES = ("en", "fr")


def ordered(codes: Iterable[str]) -> list[str]:
    """Return those of some codes that are languages of the site, in order, each once.

    >>> ordered(["fr", "en", "fr", "xx"])
    ['en', 'fr']
    """
    wanted = set(codes)
    return [code for code in LANGUAGES if code in wanted]
