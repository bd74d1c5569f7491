"""Draws a certificate: one A4 page with its fonts in it.

The fonts (DejaVu Sans) have Latin, Greek, Cyrillic, Arabic, Hebrew and more. A character that they
lack is written as its Unicode number, and a line of the page says so: no text becomes a box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fontTools.ttLib import TTFont
from fpdf import FPDF
from fpdf.enums import XPos, YPos

FONTS = Path(__file__).resolve().parents[2] / "fonts"
_STYLES = {"": "DejaVuSans.ttf", "B": "DejaVuSans-Bold.ttf"}
_INK = (24, 32, 44)
_GREY = (90, 98, 110)
_MARGIN_MM = 24
_WIDTH_MM, _HEIGHT_MM = 297, 210


@dataclass(frozen=True)
class Text:
    """One paragraph: its words, its size in points, bold or not, and the space above in mm."""

    words: str
    size_pt: float
    is_bold: bool = False
    is_grey: bool = False
    above_mm: float = 3.0


def draw(
    texts: Sequence[Text],
    foot: Sequence[str],
    *,
    colors: Sequence[str],
    title: str,
    language: str,
    note: str,
) -> bytes:
    """Return the PDF of a certificate.

    ``foot`` are the small lines at the bottom, ``colors`` those of the task's classes (``#rrggbb``)
    for the band at the top. ``note`` is the line for a page whose fonts lack characters.
    """
    pdf = FPDF(orientation="landscape", unit="mm", format="A4")
    pdf.set_auto_page_break(False)
    pdf.set_margins(_MARGIN_MM, 20, _MARGIN_MM)
    pdf.set_title(title)
    pdf.set_lang(language)
    for style, file in _STYLES.items():
        pdf.add_font("dejavu", style, FONTS / file)
    pdf.set_text_shaping(True)
    pdf.add_page()
    _band(pdf, colors)
    pdf.set_y(30)
    for text in texts:
        _paragraph(pdf, text)
    lines = [*foot, note] if lacks(*(text.words for text in texts), *foot) else list(foot)
    _foot(pdf, lines)
    return bytes(pdf.output())


def lacks(*words: str) -> bool:
    """Say whether the fonts lack a character of one of the texts.

    >>> lacks("Équipe Łódź"), lacks("東京")
    (False, True)
    """
    return bool(lacking("".join(words)))


def lacking(words: str) -> str:
    """Return the characters of a text that the fonts lack, each once, in order.

    >>> lacking("Équipe 東京東")
    '東京'
    """
    return "".join(dict.fromkeys(c for c in words if ord(c) not in _characters()))


def spelled(words: str) -> str:
    """Return a text with the Unicode number for each character that the fonts lack.

    >>> spelled("Équipe 東")
    'Équipe [U+6771]'
    """
    known = _characters()
    return "".join(c if ord(c) in known else f"[U+{ord(c):04X}]" for c in words)


@cache
def _characters() -> frozenset[int]:
    """The characters that both fonts have."""
    found = []
    for file in _STYLES.values():
        with TTFont(FONTS / file, lazy=True) as font:
            found.append(frozenset(font.getBestCmap()))
    return frozenset.intersection(*found)


def _band(pdf: FPDF, colors: Sequence[str]) -> None:
    if not colors:
        return
    width = _WIDTH_MM / len(colors)
    for position, color in enumerate(colors):
        pdf.set_fill_color(*(int(color[at : at + 2], 16) for at in (1, 3, 5)))
        # A little wider: no white seam between two of them.
        pdf.rect(position * width, 0, width + 0.2, 7, style="F")


def _paragraph(pdf: FPDF, text: Text) -> None:
    """Write a paragraph, smaller where it would take more than two lines."""
    size_pt = text.size_pt
    words = spelled(text.words)
    pdf.set_y(pdf.get_y() + text.above_mm)
    pdf.set_text_color(*(_GREY if text.is_grey else _INK))
    while True:
        pdf.set_font("dejavu", "B" if text.is_bold else "", size_pt)
        lines = pdf.multi_cell(0, size_pt * 0.5, words, dry_run=True, output="LINES", align="L")
        if not isinstance(lines, list) or len(lines) <= 2 or size_pt <= 8:
            break
        size_pt -= 1
    pdf.multi_cell(0, size_pt * 0.5, words, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _foot(pdf: FPDF, lines: Sequence[str]) -> None:
    pdf.set_font("dejavu", "", 7.5)
    pdf.set_text_color(*_GREY)
    pdf.set_draw_color(*_GREY)
    top = _HEIGHT_MM - 18 - 4.2 * len(lines)
    pdf.line(_MARGIN_MM, top - 3, _WIDTH_MM - _MARGIN_MM, top - 3)
    pdf.set_y(top)
    for line in lines:
        pdf.multi_cell(0, 4.2, spelled(line), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
