"""The language of the page, mail or answer that is being written."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import get_language


def current() -> str:
    """Return the active language without its region: en, fr."""
    return (get_language() or "en").split("-")[0]


def text_in(texts: Mapping[str, str], language: str, *, default: str = "") -> str:
    """Return the text in ``language``, else the English one, else any, else ``default``.

    >>> text_in({"en": "", "fr": "Bonjour"}, "en")
    'Bonjour'
    """
    written = (text for text in texts.values() if text)
    return texts.get(language) or texts.get("en") or next(written, default)
