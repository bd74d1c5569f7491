"""Every page is the HTML that the standard describes."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.test import Client
from django.urls import resolve, reverse
from django.utils import timezone

from challenge.models import Submission
from challenge.services.notifications import webhooks
from scoring.engine.problems.problems import Problem
from tests.web import html_validate, seed
from tests.web.conftest import Visit
from tests.web.crawl import crawl, visitor

VISITORS = [("member", "en"), ("member", "fr"), ("organiser", "fr")]
PAGES_OF_A_KIND = 3
KINDS_AT_LEAST = {"member": 24, "organiser": 14}
FOR_STRANGERS = ["/", "/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"]
# A year, month and day, perhaps with a time to the second and a zone: no fraction of a second.
DATETIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d))?")


def world_of_every_state() -> Submission:
    """A lively challenge; Ada's team has one submission in each state."""
    phase = seed.populate(teams=3)
    practice = phase.challenge.phases.get(slug="practice")
    scored = Submission.objects.filter(entry__phase=phase, is_baseline=False).latest("created_at")
    team = scored.entry.team
    ada = team.memberships.get().user
    now = timezone.now()
    refused = seed.submit(team, practice, method="Off by one", at=now)
    problems = [
        Problem.of("values-one-based", file=f"{n}.tif", pixels=3, value=13, highest=12).to_json()
        for n in range(5)
    ]
    seed.reject(refused, problems, more=7)
    seed.submit(team, practice, method="Waiting & <waiting>", at=now)
    hook = webhooks.create(user=ada, url="https://93.184.215.14/hook", events=["phase.closed"])
    webhooks.ping(webhook=hook)
    return scored


def save_pages(
    client: Client, folder: Path, who: str, addresses: list[str], *, links: bool = True
) -> set[str]:
    """Write some pages of each kind into files named for their kind; returns the kinds."""
    kinds: Counter[str] = Counter()
    pages = (
        [(found.address, found.answer) for found in crawl(client) if found.links] if links else []
    )
    for address, answer in [*pages, *((one, client.get(one)) for one in addresses)]:
        kind = (
            "missing" if answer.status_code == 404 else resolve(address.partition("?")[0]).view_name
        )
        kinds[kind] += 1
        if kinds[kind] <= PAGES_OF_A_KIND:
            name = f"{kind.replace(':', '-')}-{kinds[kind]}-{who}.html"
            (folder / name).write_bytes(answer.content)
    return set(kinds)


class Tables(HTMLParser):
    """How many columns each row of each table has."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[int]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append(0)
        elif tag in ("th", "td"):
            self.tables[-1][-1] += int(dict(attributes).get("colspan") or 1)


@pytest.mark.parametrize(("kind", "language"), VISITORS)
def test_every_page_is_valid_html(
    db: None, visit: Visit, tmp_path: Path, kind: str, language: str
) -> None:
    """As the standard has it; times to the second; as many cells in each row as heads."""
    scored = world_of_every_state()
    person = scored.submitted_by if kind == "member" else visitor(kind, scored.entry.phase)
    unlinked = ["/nowhere/", reverse("web:submission", args=[scored.pk])]
    kinds = save_pages(visit(person, language=language), tmp_path, kind, unlinked)
    kinds |= save_pages(visit(language=language), tmp_path, "stranger", FOR_STRANGERS, links=False)
    assert len(kinds) >= KINDS_AT_LEAST[kind], sorted(kinds)
    faults = html_validate.faults(tmp_path)
    for path in tmp_path.glob("*.html"):
        html = path.read_text(encoding="utf-8")
        times = re.findall(r'<time[^>]* datetime="([^"]*)"', html)
        faults += [f"{path.name}: {one}" for one in times if not DATETIME.fullmatch(one)]
        tables = Tables()
        tables.feed(html)
        faults += [f"{path.name}: rows of {row}" for row in tables.tables if len(set(row)) > 1]
    assert faults == []
