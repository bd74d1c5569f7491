"""What pages and mails say is so: numbers, days, states, counts."""

from __future__ import annotations

import re
from datetime import date
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone, translation

from challenge.errors import CATALOGUE, as_problem, refuse
from challenge.formats import SHORT_DAY_FORMAT, day_text
from challenge.models import Phase, Team
from challenge.selectors.leaderboard import Row
from challenge.web.leaderboard.row_html import axis_of, letters_of_groups
from scoring.engine.problems.problems import Problem
from tests import factories
from tests.web import seed
from tests.web.conftest import Visit


def row(miou: float, *, half: float = 0.015, group: int = 1, tied: bool = True) -> Row:
    return Row(
        kind="team",
        key="1",
        name="Larch",
        method="",
        miou=miou,
        class_ious={},
        interval=(miou - half, miou + half),
        group=group,
        tied=tied,
    )


@pytest.mark.parametrize("poor", [[], [0.04], [0.04, 0.03, 0.02, 0.01, 0.05]])
def test_poor_teams_press_no_interval_into_a_dot(poor: list[float]) -> None:
    """They were the axis of all: two of them made every other interval narrower than its dot."""
    axis = axis_of([row(miou) for miou in [0.65, 0.64, 0.62, 0.60, *poor]])
    assert 0.03 / (axis.stop - axis.start) >= 1 / 8.01
    assert axis.start <= 0.60 - 0.015
    assert axis.stop == pytest.approx(0.665)
    assert 1 <= len(axis.ticks) <= 4
    assert all(axis.start <= tick <= axis.stop for tick in axis.ticks)


def test_no_interval_of_a_close_leaderboard_is_cut_off() -> None:
    """The lowest quarter was drawn as an arrow, however near it was."""
    rows = [row(miou) for miou in (0.65, 0.64, 0.63, 0.62)]
    assert axis_of(rows).start == pytest.approx(0.605)


def test_the_first_group_of_several_teams_is_a() -> None:
    """A team that stands alone took a letter away: the first to be seen was an E."""
    alone = [row(0.9 - 0.1 * at, group=at, tied=False) for at in range(1, 5)]
    assert letters_of_groups([*alone, row(0.4, group=5), row(0.39, group=5)]) == {5: "A"}


def test_french_has_a_first_of_january() -> None:
    with translation.override("fr"):
        assert day_text(date(2027, 1, 1)) == "1er janvier 2027"
        assert day_text(date(2027, 1, 1), SHORT_DAY_FORMAT) == "1er jan. 2027"
        assert day_text(date(2027, 1, 11)) == "11 janvier 2027"
    assert day_text(date(2027, 1, 1)) == "1 January 2027"


def test_a_phase_without_labels_is_not_called_open(
    phase: Phase, visit: Visit, client: Client
) -> None:
    Phase.objects.filter(pk=phase.pk).update(ground_truth=None)
    html = client.get(f"/challenges/{phase.challenge.slug}/").content.decode()
    assert "not ready yet" in html
    assert '<span class="tag good">open</span>' not in html
    home = client.get("/").content.decode()
    assert '<span class="tag info">soon</span>' in home
    assert '<span class="tag good">open</span>' not in home


def test_problems_that_are_not_listed_are_counted_once(
    phase: Phase, team: Team, visit: Visit
) -> None:
    """“and 16 more … and 26 more” left open whether that is 26 or 42."""
    submission = seed.submit(team, phase, method="Off", at=timezone.now())
    problems = [
        Problem.of("values-one-based", file=f"{n}.tif", pixels=3, value=13, highest=12).to_json()
        for n in range(20)
    ]
    seed.reject(submission, problems, more=26)
    page = visit(factories.captain_of(team)).get(f"/submissions/{submission.pk}/")
    html = unescape(page.content.decode())
    assert re.findall(r"and (\d+) more", html) == ["43"]
    assert "26 more are not listed." in html


def test_a_patch_of_another_phase_is_not_said_to_be_outside_the_test_set() -> None:
    problem = Problem.of("unknown-patch", file="PRED_000001.tif", id="000001")
    assert "test set" not in problem.text("en")
    assert "one of the patches of this phase" in problem.text("en")


# What only who writes a program can do anything about.
FOR_PROGRAMS = re.compile(
    r"Bearer|X-CSRFToken|CSRF|header|Content-|Upload-|Tus-|JSON|offset|cursor|token|chunked"
)
# Where a person makes tokens, or reads of them in the same words as a program.
ABOUT_TOKENS = {"token-name-missing", "token-limit", "token-expiry-past", "token-scopes-invalid"}


@pytest.mark.parametrize("code", sorted(set(CATALOGUE) - ABOUT_TOKENS))
def test_a_refusal_has_words_for_a_page(code: str) -> None:
    kind = CATALOGUE[code]
    with translation.override("en"):
        shown = str(kind.message if kind.page is None else kind.page)
    assert FOR_PROGRAMS.search(shown) is None


def test_a_page_and_the_api_say_the_same_refusal_in_their_own_words() -> None:
    refusal = refuse("not-authenticated")
    assert str(refusal) == "You are signed out: sign in and try again."
    problem = as_problem(refusal)
    assert "Authorization: Bearer" in problem["detail"]
    assert problem["page"] == str(refusal)
    assert "page" not in as_problem(refuse("phase-not-ready"))


def test_the_foot_of_a_page_credits_the_data_of_its_challenge(phase: Phase, visit: Visit) -> None:
    """It named IGN under everybody's challenge."""
    phase.challenge.facts |= {"organiser": "Land <Survey>", "licence": {"name": {"en": "CC0"}}}
    phase.challenge.save()
    page = visit().get(f"/challenges/{phase.challenge.slug}/").content.decode()
    foot = page[page.index('class="site-foot"') :]
    assert "<p>Data: Land &lt;Survey&gt;, CC0</p>" in foot
    assert "IGN" not in foot
