"""A stored challenge as the folder that the file reader reads: the other way round of a load."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from challenge.errors import refuse
from challenge.models import Challenge, Phase, TaskSpec
from challenge.rules import settlement
from challenge.rules.languages import LANGUAGES
from challenge.selectors import phases as phase_selector
from challenge.services.challenges.description import Description
from challenge.services.challenges.toml_document import FileMistakes

_HEAD = (
    "time_zone", "terms_version", "approval_required", "team_size_limit", "team_merge_until",
    "team_archives_bytes",
)  # fmt: skip
_PHASE = (
    "opens_at", "closes_at", "daily_limit", "total_limit", "invalid_daily_limit", "finals_limit",
    "visibility", "detail", "precision", "labels_public", "archives_kept_days",
    "inference_ratio_limit",
)  # fmt: skip
_MISTAKES_SHOWN = 5


def describe(challenge: Challenge) -> Description:
    """Return a challenge's description, not published, and with its last task.

    The file format wants each text in every language: a missing one is filled with another's. What
    of it is truly there is said by the members beside it. Announcements are left out. Raises
    Refusal ``export-description-invalid`` where the file reader would not take it back.
    """
    facts = challenge.facts
    head: dict[str, Any] = {
        "slug": challenge.slug,
        "title": filled(challenge.title, challenge.slug),
        "order": challenge.sort_order,
        "published": False,
        "languages": challenge.required_languages,
        **{name: getattr(challenge, name) for name in _HEAD},
        **{
            name: facts[name]
            for name in ("organiser", "held_from", "held_until")
            if facts.get(name)
        },
    }
    for name in ("tagline", "summary"):
        if any(text.strip() for text in getattr(challenge, name).values()):
            head[name] = filled(getattr(challenge, name), "")
    licence = facts.get("licence") or {}
    if licence.get("url"):
        head["licence"] = licence
    content: dict[str, Any] = {"challenge": head}
    task = TaskSpec.objects.filter(challenge=challenge).order_by("-version").first()
    if task is not None:
        content["task"] = {name: value for name, value in task.data.items() if name != "expected"}
    for name in ("links", "figures", "nomenclature", "downloads"):
        content[name] = list(facts.get(name) or [])
    if any((facts.get("domains") or {}).values()):
        content["domains"] = facts["domains"]
    if (facts.get("images") or {}).get("bands"):
        content["images"] = facts["images"]
    made = Description(content)
    content["phases"] = [_phase(phase, made, task) for phase in _phases(challenge)]
    content["results"] = [
        _result(one) for one in challenge.published_results.order_by("sort_order")
    ]
    _add_pages(challenge, made)
    try:
        made.read()
    except FileMistakes as error:
        found = "; ".join(str(one) for one in error.mistakes[:_MISTAKES_SHOWN])
        raise refuse("export-description-invalid", found=found) from error
    return made


def filled(texts: Mapping[str, str], otherwise: str) -> dict[str, str]:
    """Return a text in every language of the file format.

    >>> filled({"en": "Land cover", "fr": ""}, "")
    {'en': 'Land cover', 'fr': 'Land cover'}
    """
    there = [texts[code] for code in LANGUAGES if texts.get(code, "").strip()]
    other = there[0] if there else otherwise
    return {code: (texts.get(code, "").strip() and texts[code]) or other for code in LANGUAGES}


def _phases(challenge: Challenge) -> Iterable[Phase]:
    return challenge.phases.select_related("ground_truth", "task_spec").order_by("sort_order", "pk")


def _phase(phase: Phase, made: Description, task: TaskSpec | None) -> dict[str, Any]:
    table: dict[str, Any] = {
        "slug": phase.slug,
        "name": filled(phase.name, phase.slug),
        "published": phase.is_published,
        **{name: getattr(phase, name) for name in _PHASE},
        "grace_minutes": max(phase.grace_minutes, settlement.SHORTEST_GRACE_MINUTES),
    }
    if any(text.strip() for text in phase.summary.values()):
        table["summary"] = filled(phase.summary, "")
    if task is not None:
        largest = int(task.data["limits"]["archive_bytes"])
        table["archive_bytes"] = min(phase.archive_limit_bytes, largest)
    patches = list(phase.public_patches) or phase_selector.expected_patches(phase)
    if patches:
        table["ids_csv"] = f"ids/{phase.slug}.csv"
        made.files[table["ids_csv"]] = _ids(patches)
    return table


def _ids(patches: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("domain", "zone", "patch"))
    rows.writerows((domain, zone, patch) for patch, domain, zone in patches)
    return out.getvalue()


def _result(stored: Any) -> dict[str, Any]:
    return {
        "phase": stored.phase_slug,
        "name": stored.name,
        "kind": stored.kind,
        "miou": stored.miou,
        "std": stored.std,
        "source": stored.source,
        "ious": stored.class_ious,
    }


def _add_pages(challenge: Challenge, made: Description) -> None:
    pages: dict[str, dict[str, Any]] = {}
    for page in challenge.pages.order_by("sort_order", "slug"):
        pages.setdefault(page.slug, {})[page.language] = page
    for slug, by_language in pages.items():
        titles = {code: page.title for code, page in by_language.items()}
        texts = {code: page.markdown for code, page in by_language.items()}
        made.add_page(slug, filled(titles, slug), filled(texts, ""))
