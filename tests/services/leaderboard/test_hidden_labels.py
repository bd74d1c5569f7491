"""While labels are hidden ranks follow the values that are shown; at the close, the exact ones."""

from __future__ import annotations

from datetime import timedelta

import pytest

from challenge.models import GroundTruth, Phase, RankLine, Submission, Team
from challenge.rules.disclosure import Viewer
from challenge.selectors import leaderboard, phase_disclosure, progress, scores, team_pages
from challenge.services import maintenance
from challenge.services.challenges import phases
from challenge.services.leaderboard import ranks
from challenge.services.submissions import evaluations
from tests.factories import (
    NOON,
    captain_of,
    give_score,
    make_card,
    make_phase,
    make_team,
    submit,
)
from tests.services.leaderboard.test_ranks import zones

pytestmark = pytest.mark.django_db

CLOSE = NOON + timedelta(days=30)
LATER = CLOSE + timedelta(hours=1)
# A multiple of every step: shown as it is, and a little more is shown like it (but once in 500,000
# times, where rounding at random takes the next step).
SHOWN = 0.5
# What one pixel changes, or less.
LITTLE = 1e-7


@pytest.fixture
def step(phase: Phase) -> float:
    """The step in which an open phase shows mIoUs."""
    step = ranks.policy_of(phase, now=NOON).miou_step
    assert step is not None
    return step


def score_of(
    phase: Phase, name: str, miou: float, *, minute: int = 0, **card: object
) -> Submission:
    team = Team.objects.filter(name=name).first() or make_team(phase.challenge, name)
    found = submit(team, phase, at=NOON + timedelta(minutes=minute))
    give_score(found, miou, **card)
    return found


def rows(phase: Phase) -> list[tuple[int | None, str]]:
    """Rank and team of each line, as the leaderboard reads them."""
    return [
        (line.rank, line.entry.team.name)
        for line in RankLine.objects.filter(phase=phase).order_by(*scores.RANK_ORDER)
    ]


def standing(phase: Phase, name: str) -> Submission:
    """The submission that a team stands by."""
    return RankLine.objects.get(phase=phase, entry__team__name=name).submission


def test_a_better_pixel_does_not_replace_a_teams_row(phase: Phase) -> None:
    first = score_of(phase, "a", SHOWN)
    score_of(phase, "a", SHOWN + LITTLE, minute=1)
    assert standing(phase, "a") == first


def test_an_improvement_that_shows_replaces_it(phase: Phase, step: float) -> None:
    score_of(phase, "a", SHOWN)
    better = score_of(phase, "a", SHOWN + 1.2 * step, minute=1)
    assert standing(phase, "a") == better


def test_teams_that_look_equal_share_a_rank_in_the_order_of_time(phase: Phase) -> None:
    score_of(phase, "late", SHOWN + LITTLE, minute=2)
    score_of(phase, "early", SHOWN, minute=1)
    score_of(phase, "worse", SHOWN / 2)
    assert rows(phase) == [(1, "early"), (1, "late"), (3, "worse")]
    phase.refresh_from_db()
    shown = leaderboard.of_phase(phase, now=NOON).teams
    assert [(row.rank, row.name) for row in shown] == [(1, "early"), (1, "late"), (3, "worse")]


def test_curves_rise_only_by_what_shows(phase: Phase) -> None:
    score_of(phase, "a", SHOWN)
    score_of(phase, "a", SHOWN + LITTLE, minute=1)
    score_of(phase, "b", SHOWN + 2 * LITTLE, minute=2)
    points = progress.of_phase(phase, now=NOON)
    assert [(point.team, point.best) for point in points] == [("a", True), ("b", False)]
    team = Team.objects.get(name="a")
    assert len(team_pages.progress(team, phase=phase, now=NOON)) == 1
    own = team_pages.progress(team, phase=phase, user=captain_of(team), now=NOON)
    assert len(own) == 2
    assert own[0].best == own[1].best


def test_nobody_is_compared_while_labels_are_hidden(phase: Phase) -> None:
    """Whether hidden scores differ significantly would tell more than the values beside it."""
    many = [n * 7 % 200 for n in range(40)]
    score_of(phase, "a", 0.90, zones=zones([800 + n for n in many]))
    score_of(phase, "b", 0.75, zones=zones([500 + n for n in many]))
    found = RankLine.objects.order_by("-miou")
    assert [(line.group, line.lead_probability) for line in found] == [(1, None), (1, None)]
    maintenance.sweep(now=LATER)
    first, second = RankLine.objects.order_by("-miou")
    assert first.lead_probability is not None
    assert (first.group, second.group) == (1, 2)


def test_full_precision_decides_at_the_close(phase: Phase) -> None:
    score_of(phase, "early", SHOWN)
    score_of(phase, "late", SHOWN + LITTLE, minute=1)
    better = score_of(phase, "early", SHOWN + 2 * LITTLE, minute=2)
    assert rows(phase) == [(1, "early"), (1, "late")]
    assert maintenance.sweep(now=CLOSE).phases_ranked == [phase]
    assert rows(phase) == [(1, "early"), (2, "late")]
    assert standing(phase, "early") == better
    assert maintenance.sweep(now=LATER + timedelta(days=1)).phases_ranked == []


def test_the_close_waits_for_what_was_accepted_before_it(phase: Phase) -> None:
    score_of(phase, "a", SHOWN)
    score_of(phase, "b", SHOWN + LITTLE, minute=1)
    waiting = submit(make_team(phase.challenge, "c"), phase, at=CLOSE - timedelta(seconds=1))
    claim = evaluations.claim(worker="w", now=CLOSE)
    assert claim is not None
    maintenance.sweep(now=CLOSE)
    assert rows(phase) == [(1, "a"), (1, "b")], "still in steps"
    phase.refresh_from_db()
    for viewer in Viewer:
        policy = phase_disclosure.policy_for(phase, viewer=viewer, now=CLOSE)
        assert policy.rounded
        assert not policy.counts
    card = make_card(SHOWN + 2 * LITTLE)
    evaluations.complete_scored(
        claim.evaluation_id, attempt=1, card=card, now=CLOSE + timedelta(seconds=30)
    )
    assert rows(phase) == [(1, "c"), (2, "b"), (3, "a")]
    assert standing(phase, "c") == waiting
    policy = phase_disclosure.policy_for(phase, viewer=Viewer.READER, now=LATER)
    assert not policy.rounded


@pytest.mark.parametrize("end", ["rejected", "failed"])
def test_an_evaluation_that_ends_without_a_score_settles_too(phase: Phase, end: str) -> None:
    score_of(phase, "a", SHOWN)
    score_of(phase, "b", SHOWN + LITTLE, minute=1)
    submit(make_team(phase.challenge, "c"), phase, at=CLOSE - timedelta(seconds=1))
    claim = evaluations.claim(worker="w", now=CLOSE)
    assert claim is not None
    maintenance.sweep(now=CLOSE)
    if end == "rejected":
        problems = [{"code": "not-a-zip"}]
        evaluations.complete_rejected(claim.evaluation_id, attempt=1, problems=problems, now=CLOSE)
    else:
        evaluations.mark_failed(claim.evaluation_id, attempt=1, code="scorer-failed", now=CLOSE)
    assert maintenance.sweep(now=CLOSE + timedelta(seconds=30)).phases_ranked == [phase]
    assert rows(phase) == [(1, "b"), (2, "a")]


def test_ranks_stay_in_steps_while_another_phase_has_the_labels(phase: Phase) -> None:
    other = make_phase(
        phase.challenge,
        "second",
        truth=False,
        ground_truth=GroundTruth.objects.get(),
        closes_at=CLOSE + timedelta(days=10),
    )
    phases.update_labels_open_until()
    score_of(phase, "a", SHOWN)
    score_of(phase, "b", SHOWN + LITTLE, minute=1)
    maintenance.sweep(now=LATER)
    assert rows(phase) == [(1, "a"), (1, "b")]
    assert other.closes_at is not None
    maintenance.sweep(now=other.closes_at)
    assert rows(phase) == [(1, "b"), (2, "a")]


def test_a_phase_that_opens_again_is_ranked_in_steps_again(phase: Phase) -> None:
    score_of(phase, "a", SHOWN)
    score_of(phase, "b", SHOWN + LITTLE, minute=1)
    maintenance.sweep(now=CLOSE)
    assert rows(phase) == [(1, "b"), (2, "a")]
    Phase.objects.update(closes_at=CLOSE + timedelta(days=5))
    maintenance.sweep(now=LATER)
    assert rows(phase) == [(1, "a"), (1, "b")]


def test_only_the_lines_that_differ_are_written(phase: Phase) -> None:
    score_of(phase, "a", SHOWN)
    score_of(phase, "b", SHOWN / 2)
    kept = RankLine.objects.get(entry__team__name="a").pk
    score_of(phase, "b", SHOWN / 3, minute=1)
    assert RankLine.objects.get(entry__team__name="a").pk == kept
    assert RankLine.objects.get(entry__team__name="b").submission_count == 2
