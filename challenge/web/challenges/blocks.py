"""An organiser's page: Markdown with blocks such as ``[[classes]]`` that the site draws."""

from __future__ import annotations

from typing import Any

from challenge.models import Challenge, PublishedResult
from challenge.rules import page_blocks
from challenge.selectors import pages
from challenge.selectors.pages import PhaseStatus
from challenge.templatetags import markdown_html
from challenge.web import geography

PERCENT_FULL = 25.0
WORTH_A_LIST = 4


def parts(
    source: str, *, challenge: Challenge, phases: list[PhaseStatus], registered: bool
) -> list[dict[str, Any]]:
    """Return what the page template shows, one dictionary per part with its ``name``.

    Download links are only in it for a registered viewer.
    """
    page_parts: list[dict[str, Any]] = []
    for piece in page_blocks.split(source):
        name = piece.block or "markdown"
        part: dict[str, Any] = {"name": name, "text": piece.markdown}
        if name == "classes":
            part.update(classes(challenge))
        elif name == "domains":
            part.update(geography.splits(challenge.facts.get("domains") or {}))
        elif name == "downloads":
            part["registered"] = registered
            part["downloads"] = [
                {**line, "url": line.get("url") if registered else None}
                for line in challenge.facts.get("downloads") or []
            ]
        elif name == "figures":
            part["figures"] = challenge.facts.get("figures") or []
        elif name == "phases":
            part["phases"] = [line.phase for line in phases]
        elif name == "results":
            part["groups"] = results(challenge)
        page_parts.append(part)
    return page_parts


def contents(page_parts: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return (anchor, title) of a page's headings where they are worth a list, else nothing."""
    lines = [line for part in page_parts for line in markdown_html.headings(part["text"] or "")]
    return list(lines) if len(lines) >= WORTH_A_LIST else []


def classes(challenge: Challenge) -> dict[str, Any]:
    """Return the nomenclature's rows and the longest frequency, for bars on one scale."""
    rows = challenge.facts.get("nomenclature") or []
    shares = [
        float(row[key])
        for row in rows
        for key in ("train_percent", "test_percent")
        if row.get(key) is not None
    ]
    return {"rows": rows, "full": max([PERCENT_FULL, *shares])}


def results(challenge: Challenge) -> list[dict[str, Any]]:
    """Return the published results by kind, best first, each with a bar's full length."""
    rows = list(pages.published_results(challenge))
    groups = []
    for kind in PublishedResult.Kind:
        lines = [row for row in rows if row.kind == kind]
        if lines:
            groups.append({"kind": kind.label, "lines": lines})
    return groups
