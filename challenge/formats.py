"""Days and numbers in the page's language."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from django.utils import formats, translation

DAY_FORMAT = "j F Y"  # months are named in the page's language
SHORT_DAY_FORMAT = "j N Y"


def day_text(day: date, style: str = DAY_FORMAT) -> str:
    """Return a day in the page's language; French writes the first of a month as 1er.

    ``style`` is a format of Django's that begins with the day ("j").
    """
    shown = formats.date_format(day, style)
    first = day.day == 1 and (translation.get_language() or "").startswith("fr")
    return f"1er{shown.removeprefix('1')}" if first else shown


def decimal_text(value: float, digits: int) -> str:
    """Return a rounded number in the page's language (Django's own formatter cuts off)."""
    return formats.number_format(
        Decimal(f"{value:.{digits}f}"), digits, use_l10n=True, force_grouping=True
    )


def percent_text(value: float, digits: int = 2) -> str:
    """Return a fraction as a percentage without its sign: 0.5443 gives 54.43 (54,43 in French)."""
    return decimal_text(value * 100, digits)
