"""Weighing a board of several pages: ranks are over all teams, not over the page's.

A real board, longer than a page, served by a real server to a real browser; the ranks are
reckoned a second time here, from the published JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Any

import pytest
from django.core.management import call_command
from playwright.sync_api import Browser, Page, expect
from pytest_django import DjangoDbBlocker

from challenge.models import Phase
from challenge.web.leaderboard.table import PAGE_ROWS
from tests.bench import population
from tests.live_site import LiveSite
from tests.web import seed
from tests.web.browser import open_page

pytestmark = pytest.mark.django_db

TEAMS = PAGE_ROWS + 30
BOARD = "/challenges/flair-1/test/leaderboard"


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[str]:
    live = LiveSite(tmp_path_factory.mktemp("long-board"))
    with django_db_blocker.unblock():
        try:
            phase = seed.populate(teams=4)
            population.crowd(phase, teams=TEAMS, submissions=2 * TEAMS)
            Phase.objects.filter(pk=phase.pk).update(labels_public=True)  # domains are shown
            live.start()
            yield live.url
        finally:
            live.stop()
            call_command("flush", interactive=False, verbosity=0)


def weighed(
    board: dict[str, Any], value: Callable[[dict[str, Any]], float]
) -> dict[str, tuple[int, int, str]]:
    """{line: (rank over all teams, official rank, value)}; equals share a rank."""
    teams = [line for line in board["lines"] if line["kind"] == "team"]
    values = {line["line"]: value(line) for line in teams}
    return {
        line["line"]: (
            1 + sum(other > values[line["line"]] for other in values.values()),
            line["rank"],
            f"{values[line['line']]:.2f}",
        )
        for line in teams
    }


def shown(page: Page) -> dict[str, tuple[str, str]]:
    """{line: (rank and move, value)} of the teams on the page."""
    found: dict[str, tuple[str, str]] = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".board tr.team")].map((row) =>
            [row.dataset.line, [row.cells[0].textContent, row.querySelector(".c-miou").textContent]]
        ))"""
    )
    return {line: (rank, miou) for line, (rank, miou) in found.items()}


def printed(rank: int, official: int) -> str:
    if rank == official:
        return str(rank)
    return f"{rank}{'▲' if rank < official else '▼'}{abs(official - rank)}"


WEIGHTINGS: dict[str, Callable[[dict[str, Any]], float]] = {
    "worst": lambda line: min(value * 100 for value in line["class_ious"].values()),
    "domains": lambda line: fmean(value * 100 for value in line["domain_mious"]),
    "worst-domain": lambda line: min(value * 100 for value in line["domain_mious"]),
    "one-domain": lambda line: line["domain_mious"][0] * 100,
}


def test_ranks_of_a_weighting_are_over_all_pages(site: str, browser: Browser) -> None:
    context, page, complaints = open_page(browser, site)
    board = page.request.get(f"{BOARD}.json").json()
    assert sum(line["kind"] == "team" for line in board["lines"]) == TEAMS
    seen: set[str] = set()
    for number in (1, 2):
        page.goto(f"{BOARD}/?page={number}")
        official = shown(page)
        assert not seen & set(official)
        seen |= set(official)
        weights = page.locator("[data-board-weights]")
        for name, value in WEIGHTINGS.items():
            weights.select_option(name)
            expect(page.locator(".board.weighted")).to_be_visible()
            if name == "one-domain":
                expect(page.locator("[data-board-domain]")).to_be_visible()
            wanted = weighed(board, value)
            found = shown(page)
            assert set(found) == set(official)
            for line, (rank, miou) in found.items():
                over_all, before, text = wanted[line]
                assert (rank, miou) == (printed(over_all, before), text), (number, name, line)
        weights.select_option("equal")
        expect(page.locator(".board.weighted")).to_have_count(0)
        assert shown(page) == official
    assert len(seen) == TEAMS
    assert complaints == []
    context.close()
