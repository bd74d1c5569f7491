"""A leaderboard as a LaTeX table, and a result as a BibTeX entry, as papers print them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
NONE = "--"


@dataclass(frozen=True)
class Row:
    """A line of the table; values are fractions, ``group`` is shared by teams that are tied."""

    rank: int | None
    name: str
    method: str
    group: int | None
    ious: Sequence[float | None]
    miou: float | None
    interval: tuple[float | None, float | None] | None


def escape(text: str) -> str:
    """Return text that LaTeX prints as it is.

    >>> print(escape("50 % of C_1 & D"))
    50 \\% of C\\_1 \\& D
    """
    shown = "".join(" " if character in "\r\n\t\0" else character for character in text)
    return "".join(SPECIAL.get(character, character) for character in shown)


def bibtex(*, key: str, title: str, author: str, on: date, url: str, note: str) -> str:
    """Return an ``@misc`` entry of a page that does not change; ``author`` "" leaves it out.

    Needs a style that knows ``url``, and UTF-8.
    """
    fields = {
        "title": f"{{{escape(title)}}}",
        "author": f"{{{escape(author)}}}" if author else "",
        "year": str(on.year),
        "month": str(on.month),
        "url": url,
        "note": escape(note),
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def table(rows: Sequence[Row], *, classes: Sequence[str], label: str, caption: str) -> str:
    """Return a ``table*`` (package booktabs): rank, team, method, IoUs, mIoU, 95 % interval.

    Values are per cent; the best of the ranked teams in each column is bold. Teams that cannot be
    told apart carry the same letter. Needs ``\\usepackage{booktabs}`` and UTF-8.
    """
    ranked = [row for row in rows if row.rank is not None]
    best = [_best([row.ious[index] for row in ranked]) for index in range(len(classes))]
    best_miou = _best([row.miou for row in ranked])
    letters: dict[int, str] = {}
    for row in ranked:
        if row.group is not None:
            letters.setdefault(row.group, _letter(len(letters)))
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table*}",
        r"\centering",
        r"\begin{tabular}{rll" + "r" * len(classes) + "rr}",
        r"\toprule",
        " & ".join(["Rank", "Team", "Method", *(escape(one) for one in classes), "mIoU", r"95\,\%"])
        + r" \\",
        r"\midrule",
    ]
    for row in rows:
        group = letters.get(row.group, "") if row.group is not None and row.rank else ""
        rank = str(row.rank) if row.rank is not None else NONE
        cells = [
            f"{rank}$^{{{group}}}$" if group else rank,
            escape(row.name),
            escape(row.method),
            *(
                _value(iou, is_best=row.rank is not None and iou == top)
                for iou, top in zip(row.ious, best, strict=True)
            ),
            _value(row.miou, is_best=row.rank is not None and row.miou == best_miou),
            _interval(row.interval),
        ]
        lines.append(" & ".join(cells) + r" \\")
    ties = " Teams with the same letter cannot be told apart." if letters else ""
    lines += [
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{escape(caption)} IoU in per cent.{ties}}}",
        rf"\label{{{label}}}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _best(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _value(value: float | None, *, is_best: bool) -> str:
    if value is None:
        return NONE
    text = f"{100 * value:.2f}"
    return rf"\textbf{{{text}}}" if is_best else text


def _interval(interval: tuple[float | None, float | None] | None) -> str:
    low, high = interval or (None, None)
    if low is None or high is None:
        return NONE
    return f"[{100 * low:.2f}, {100 * high:.2f}]"


def _letter(index: int) -> str:
    """Return a, b, …, z, aa, ab, … for 0, 1, …

    >>> _letter(0), _letter(25), _letter(26)
    ('a', 'z', 'aa')
    """
    text = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        text = chr(ord("a") + rest) + text
    return text
