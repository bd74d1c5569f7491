"""A CodaLab (v1) or Codabench (v2) bundle as a challenge's description, with a report. Pure.

What no bundle says (classes, size of patches, ids, labels) is asked for in the report; what has
no place here (programs, data, queues) is named there as dropped.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from challenge.services.challenges import bundle_dates, bundle_texts, page_templates
from challenge.services.challenges.bundle_archive import BundleArchive, BundleError
from challenge.services.challenges.bundle_dates import Order, Read
from challenge.services.challenges.description import Description

MAX_PHASES = 50
MAX_PAGES = 50
_KNOWN = {
    "version", "title", "description", "pages", "html", "terms", "phases", "leaderboards",
    "leaderboard", "registration_auto_approve", "has_registration", "end_date",
}  # fmt: skip


@dataclass(frozen=True)
class Note:
    """A line of the report: "asked" (to be given), "dropped" (of the bundle) or "read"."""

    kind: str
    code: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Bundle:
    """What was read; it becomes a challenge only where no note is ``unclear``."""

    version: int
    description: Description
    notes: list[Note] = field(default_factory=list)

    @property
    def ambiguous(self) -> list[str]:
        """The dates of which somebody must say what they mean, as written."""
        return [note.facts["written"] for note in self.notes if note.code == "date-ambiguous"]

    def add(self, kind: str, code: str, **facts: Any) -> None:
        """Add a line to the report, once."""
        note = Note(kind, code, facts)
        if note not in self.notes:
            self.notes.append(note)


def read(archive: BundleArchive, *, slug: str, order: Order) -> Bundle:
    """Return what a bundle says. Raises `BundleError` ``bundle-no-title``, ``bundle-no-phases``."""
    document = archive.document
    version = 2 if str(document.get("version", "")).strip() == "2" or _is_list(document) else 1
    title = _text(document.get("title"), 120)
    if not title:
        raise BundleError("bundle-no-title")
    head: dict[str, Any] = {"slug": slug, "title": _both(title), "time_zone": "UTC"}
    bundle = Bundle(version, Description({"challenge": head}))
    summary, _dropped = bundle_texts.to_markdown(_text(document.get("description"), 2000))
    if summary.strip():
        head["summary"] = _both(summary.strip())
    if _approves(document):
        head["approval_required"] = True
        bundle.add("read", "approval")
    _phases(bundle, document, order=order)
    _pages(bundle, archive)
    for key in sorted(set(document) - _KNOWN):
        bundle.add("dropped", "key", key=key[:60])
    for code in ("classes", "geometry", "ids", "labels", "french"):
        bundle.add("asked", code)
    return bundle


def _is_list(document: dict[str, Any]) -> bool:
    """Whether it has the shape of v2, which some write without ``version``."""
    return isinstance(document.get("phases"), list) or isinstance(document.get("pages"), list)


def _approves(document: dict[str, Any]) -> bool:
    automatic = document.get("registration_auto_approve")
    return automatic is False or document.get("has_registration") is True


def _phases(bundle: Bundle, document: dict[str, Any], *, order: Order) -> None:
    rows = document.get("phases")
    last_end = None
    if isinstance(rows, dict):
        found = [row for row in rows.values() if isinstance(row, dict)]
        found.sort(key=lambda row: _number(row.get("phasenumber")) or 0)
        last_end = document.get("end_date")
    else:
        found = [row for row in _list(rows) if isinstance(row, dict)]
        found.sort(key=lambda row: _number(row.get("index")) or 0)
    if not found:
        raise BundleError("bundle-no-phases")
    hidden = _hidden(bundle, document)
    phases: list[dict[str, Any]] = []
    for number, row in enumerate(found[:MAX_PHASES]):
        following = found[number + 1] if number + 1 < len(found) else {}
        end = row.get("end", row.get("end_date"))
        if isinstance(rows, dict) and end is None:
            end = following.get("start_date", last_end)
        made = _phase(bundle, row, end, number=number, hidden=hidden, order=order)
        if made is not None:
            made["slug"] = _slug(row.get("name") or row.get("label"), [p["slug"] for p in phases])
            phases.append(made)
    bundle.description.content["phases"] = phases


def _phase(
    bundle: Bundle, row: dict[str, Any], end: object, *, number: int, hidden: bool, order: Order
) -> dict[str, Any] | None:
    """Return a phase's table; None where it cannot be made before a date is given."""
    name = _text(row.get("name") or row.get("label"), 120) or f"Phase {number + 1}"
    opens = _date(bundle, row.get("start", row.get("start_date")), name, order)
    closes = _date(bundle, end, name, order)
    if opens.at is None:
        if not opens.ambiguous:
            bundle.add("asked", "phase-start", phase=name, written=opens.written)
        return None
    made: dict[str, Any] = {"slug": "", "name": _both(name), "opens_at": opens.at}
    if closes.at is not None and closes.at <= opens.at:
        bundle.add("asked", "phase-end", phase=name, written=closes.written)
    elif closes.at is not None:
        made["closes_at"] = closes.at
    limits = {"daily_limit": "max_submissions_per_day", "total_limit": "max_submissions"}
    for ours, theirs in limits.items():
        limit = _number(row.get(theirs))
        if limit is not None and limit > 0:
            made[ours] = limit
    if hidden or row.get("leaderboard_management_mode") == "hide_results":
        made["visibility"] = "organisers"
        bundle.add("read", "hidden-board", phase=name)
    if row.get("auto_migration") or row.get("auto_migrate_to_this_phase"):
        bundle.add("dropped", "migration", phase=name)
    times = {"opens": opens.written, "opens_utc": f"{opens.at:%Y-%m-%d %H:%M} UTC"}
    if "closes_at" in made:
        times |= {"closes": closes.written, "closes_utc": f"{made['closes_at']:%Y-%m-%d %H:%M} UTC"}
    bundle.add("read", "phase", phase=name, **times)
    return made


def _date(bundle: Bundle, value: object, phase: str, order: Order) -> Read:
    found = bundle_dates.read(value, order=order)
    if found.ambiguous:
        bundle.add("asked", "date-ambiguous", phase=phase, written=found.written)
    if found.unreadable:
        bundle.add("asked", "date-unreadable", phase=phase, written=found.written)
    return found


def _hidden(bundle: Bundle, document: dict[str, Any]) -> bool:
    """Whether the board is hidden: a leaderboard that is, or all of whose columns are."""
    boards = document.get("leaderboards")
    rows = [board for board in _list(boards) if isinstance(board, dict)]
    hidden = []
    for board in rows:
        columns = board.get("columns")
        flags = [one.get("hidden") is True for one in _list(columns) if isinstance(one, dict)]
        hidden.append(board.get("hidden") is True or (bool(flags) and all(flags)))
        if any(flags) and not all(flags):
            bundle.add("dropped", "hidden-columns")
    if document.get("leaderboards") or document.get("leaderboard"):
        bundle.add("dropped", "metrics")
    return bool(hidden) and all(hidden)


def _pages(bundle: Bundle, archive: BundleArchive) -> None:
    document = archive.document
    listed: list[tuple[str, object]] = []
    if isinstance(document.get("html"), dict):
        listed += [(str(name), file) for name, file in document["html"].items()]
    for row in _list(document.get("pages")):
        if isinstance(row, dict):
            listed.append((_text(row.get("title"), 200), row.get("file", row.get("content"))))
    if document.get("terms"):
        listed.append(("terms", document["terms"]))
    used: set[str] = set()
    for title, file in listed[:MAX_PAGES]:
        slug = _page_slug(title, used)
        text = archive.text(file)
        if text is None or not text.strip():
            bundle.add("dropped", "page", page=title[:60], file=str(file)[:120])
            continue
        markdown, links = bundle_texts.to_markdown(text, name=str(file))
        if not markdown.strip():
            bundle.add("dropped", "page", page=title[:60], file=str(file)[:120])
            continue
        if links:
            bundle.add("dropped", "links", page=title[:60], n=links)
        used.add(slug)
        shown = "Rules" if slug == "rules" else title.replace("_", " ").strip().capitalize()
        bundle.description.add_page(slug, _both(shown or slug), _both(markdown))
    for slug, heading, texts in (
        ("overview", "Overview", page_templates.OVERVIEW),
        ("rules", "Rules", page_templates.RULES),
    ):
        if slug not in used:
            bundle.add("asked", "needed-page", page=slug)
            bundle.description.add_page(slug, _both(heading), texts)


def _page_slug(title: str, used: set[str]) -> str:
    """Return a page's address; the terms become the rules, the first page the overview."""
    slug = _slug(title, sorted(used))
    if "rules" not in used and slug in {"terms", "terms-and-conditions", "rules"}:
        return "rules"
    if "overview" not in used and slug in {"overview", "home", "description", "index"}:
        return "overview"
    return slug


def _slug(value: object, taken: list[str]) -> str:
    plain = unicodedata.normalize("NFKD", str(value or "")).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:40].strip("-") or "part"
    if slug == "new":
        slug = "new-one"
    number, made = 2, slug
    while made in taken:
        made, number = f"{slug}-{number}", number + 1
    return made


def _text(value: object, characters: int) -> str:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return " ".join(str(value).split())[:characters].strip()
    return ""


def _number(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str | float):
        return None
    text = str(value).strip()
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) else None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _both(text: str) -> dict[str, str]:
    return {"en": text, "fr": text}
