"""Ranks: best per team, stored, and written only when something changed."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import count

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from challenge.models import (
    Entry,
    Evaluation,
    Membership,
    Phase,
    RankLine,
    Score,
    Submission,
    Team,
)
from challenge.rules import ranking
from challenge.selectors import leaderboard, pages, scores
from challenge.selectors.scores import RANK_ORDER
from challenge.services import maintenance
from challenge.services.challenges import phases
from challenge.services.leaderboard import ranks
from challenge.services.submissions import disqualifications, evaluations, rescoring, submissions
from tests.factories import (
    NOON,
    captain_of,
    give_score,
    make_card,
    make_task,
    make_team,
    make_truth,
    make_user,
    submit,
)

pytestmark = pytest.mark.django_db


def score_of(phase: Phase, name: str, miou: float | None, **more: object) -> Submission:
    team = Team.objects.filter(name=name).first() or make_team(phase.challenge, name)
    found = submit(team, phase)
    give_score(found, miou, **more)
    return found


def lines(phase: Phase) -> list[tuple[int | None, str, float]]:
    return [
        (line.rank, line.entry.team.name, line.miou)
        for line in RankLine.objects.filter(phase=phase).order_by(*RANK_ORDER)
    ]


def close(phase: Phase) -> None:
    """Sweep on the day after the close."""
    maintenance.sweep(now=NOON + timedelta(days=31))


def test_best_per_team_with_shared_ranks(phase: Phase) -> None:
    score_of(phase, "a", 0.50001)
    score_of(phase, "b", 0.5)
    score_of(phase, "b", 0.3)
    score_of(phase, "c", 0.50001)
    score_of(phase, "d", None)
    close(phase)
    assert lines(phase) == [(1, "a", 0.50001), (1, "c", 0.50001), (3, "b", 0.5)]
    assert RankLine.objects.get(entry__team__name="b").submission_count == 2


def test_a_baseline_of_the_platform_stands_beside_the_ranks(phase: Phase) -> None:
    score_of(phase, "a", 0.5)
    platform = make_team(phase.challenge, "IGN", is_platform=True)
    for method, miou in (("U-Net", 0.6), ("U-Net", 0.7), ("U-T&T", 0.4)):
        give_score(submit(platform, phase, method=method, is_baseline=True), miou)
    assert lines(phase) == [(None, "IGN", 0.7), (1, "a", 0.5), (None, "IGN", 0.4)]


def test_a_disqualified_submission_leaves_the_board_and_returns(phase: Phase) -> None:
    best = score_of(phase, "a", 0.9)
    score_of(phase, "a", 0.4)
    score_of(phase, "b", 0.5)
    organiser = make_user(is_superuser=True)
    disqualifications.disqualify(submission=best, actor=organiser, reason="external data")
    assert lines(phase) == [(1, "b", 0.5), (2, "a", 0.4)]
    disqualifications.reinstate(submission=best, actor=organiser)
    assert lines(phase)[0] == (1, "a", 0.9)


def test_the_version_grows_only_with_a_change(phase: Phase) -> None:
    score_of(phase, "a", 0.5)
    phase.refresh_from_db()
    before = phase.ranks_version
    assert not ranks.recompute(phase=phase, now=NOON)
    score_of(phase, "b", 0.6)
    phase.refresh_from_db()
    assert phase.ranks_version > before


def test_only_scores_under_the_present_truth_count(phase: Phase) -> None:
    score_of(phase, "a", 0.5)
    new = make_truth(phase.challenge)
    organiser = make_user(is_superuser=True)
    rescoring.enqueue(
        phase=phase,
        ground_truth=new,
        actor=organiser,
        confirmed=rescoring.plan(phase=phase, ground_truth=new).confirmation,
    )
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    evaluations.complete_scored(claim.evaluation_id, attempt=1, card=make_card(0.7), now=NOON)
    assert lines(phase) == [(1, "a", 0.5)]
    phases.publish_truth(phase=phase, actor=organiser, ground_truth=new)
    assert lines(phase) == [(1, "a", 0.7)]


def test_the_latest_revision_counts(phase: Phase) -> None:
    found = score_of(phase, "a", 0.9)
    rescoring.enqueue(phase=phase, actor=None, force=True)
    give_score(found, 0.6)
    assert lines(phase) == [(1, "a", 0.6)]


def test_chosen_finals_count_alone_once_closed(phase: Phase) -> None:
    Phase.objects.update(finals_limit=1)
    best, other = score_of(phase, "a", 0.9), score_of(phase, "a", 0.5)
    score_of(phase, "b", 0.6)
    team = Team.objects.get(name="a")
    submissions.choose_final(submission=other, actor=captain_of(team), chosen=True, now=NOON)
    ranks.recompute(phase=phase, now=NOON)
    assert lines(phase)[0] == (1, "a", best.evaluations.get().score.miou)
    close(phase)
    assert lines(phase) == [(1, "b", 0.6), (2, "a", 0.5)]


def test_the_database_finds_the_submissions_that_decide(phase: Phase) -> None:
    """Of random scores with ties, choices, baselines and revisions: the same as from all."""
    random = np.random.default_rng(5)
    platform = make_team(phase.challenge, "The platform", is_platform=True)
    found = []
    for number in range(60):
        baseline = number % 10 == 0
        name = "The platform" if baseline else f"team {random.integers(6)}"
        team = Team.objects.filter(name=name).first() or make_team(phase.challenge, name)
        at = NOON + timedelta(minutes=int(random.integers(3)))  # many at the same moment
        method = f"method {random.integers(2)}"
        found.append(submit(team, phase, at=at, method=method, is_baseline=baseline))
        give_score(found[-1], None if number == 7 else round(float(random.integers(9)) / 10, 1))
    Submission.objects.filter(pk__in=[one.pk for one in found[::4]]).update(is_final=True)
    rescoring.enqueue(phase=phase, actor=None, force=True)
    for one in found[:20]:
        give_score(one, round(float(random.integers(9)) / 10, 1))
    policy = ranks.policy_of(phase, now=NOON)
    deciding = ranks.deciding_submissions(phase, policy=policy)
    every = {
        pk: ranking.Candidate(
            entry=entry if not baseline else f"{entry} {method}",
            submission=pk,
            miou=miou,
            created_at=at,
            chosen=final,
        )
        for entry, pk, baseline, method, at, final, miou in scores.on_board(phase).values_list(
            "evaluation__submission__entry_id",
            "evaluation__submission_id",
            "evaluation__submission__is_baseline",
            "evaluation__submission__method_name",
            "evaluation__submission__created_at",
            "evaluation__submission__is_final",
            "rounded_miou" if policy.rounded else "miou",
        )
    }
    assert platform.pk
    assert len(deciding) < len(every) / 2
    for chosen_only in (True, False):
        best = ranking.best_per_entry(
            deciding,
            chosen_only=chosen_only,
            key=lambda one: (one.entry, one.method_name if one.is_baseline else ""),
        )
        wanted = ranking.best_per_entry(every.values(), chosen_only=chosen_only)
        assert {(one.submission, one.miou) for one in best} == {
            (one.submission, one.miou) for one in wanted
        }
    measured = Counter(one.entry for one in every.values() if one.miou is not None)
    counts = {one.entry: one.count for one in deciding if not one.is_baseline}
    assert counts == {entry: measured[entry] for entry in counts}


def zones(correct: list[int], size: int = 1000) -> dict[str, object]:
    """A zone each: of ``size`` pixels of class A so many are right, of B all."""
    return {
        f"Z{n}": {"confusion": [[right, size - right, 0], [0, size, 0], [0, 0, 0]]}
        for n, right in enumerate(correct)
    }


def test_neighbouring_ranks_are_separated_by_paired_bootstrap(phase: Phase) -> None:
    wide = {"miou": [0.1, 0.9], "classes": [None, None, None]}
    score_of(phase, "a", 0.80, zones=zones([800, 900, 700, 850, 750, 820]), intervals=wide)
    score_of(phase, "b", 0.75, zones=zones([750, 850, 650, 800, 700, 770]), intervals=wide)
    score_of(phase, "c", 0.745, zones=zones([760, 830, 660, 780, 720, 740]), intervals=wide)
    close(phase)
    groups = {line.entry.team.name: line.group for line in RankLine.objects.all()}
    leads = {line.entry.team.name: line.lead_probability for line in RankLine.objects.all()}
    assert leads["a"] is not None
    assert leads["a"] > 0.99
    assert leads["b"] is not None
    assert 0.5 < leads["b"] < 0.95
    assert groups == {"a": 1, "b": 2, "c": 2}


def test_lost_ranks_are_recomputed_by_the_sweep(phase: Phase) -> None:
    score_of(phase, "a", 0.5)
    RankLine.objects.all().delete()
    assert maintenance.sweep(now=NOON + timedelta(minutes=5)).phases_ranked == [phase]
    assert lines(phase) == [(1, "a", 0.5)]
    assert maintenance.sweep(now=NOON + timedelta(minutes=9)).phases_ranked == []


def make_crowd(phase: Phase, *, teams: int, each: int) -> None:
    """Many scored submissions, written straight into the tables."""
    numbers = count(1)
    made = Team.objects.bulk_create(
        Team(challenge=phase.challenge, name=f"crowd {n}") for n in range(teams)
    )
    entries = Entry.objects.bulk_create(Entry(team=team, phase=phase) for team in made)
    sent = Submission.objects.bulk_create(
        Submission(
            entry=entry,
            number=number,
            created_at=NOON + timedelta(seconds=next(numbers)),
            archive=f"archives/{entry.pk}-{number}.zip",
            archive_sha256="0" * 64,
            archive_bytes=1,
            method_name="m",
        )
        for entry in entries
        for number in range(1, each + 1)
    )
    done = Evaluation.objects.bulk_create(
        Evaluation(
            submission=one,
            ground_truth=phase.ground_truth,
            task_spec=phase.task_spec,
            state="scored",
            queued_at=NOON,
            attempt=1,
        )
        for one in sent
    )
    Score.objects.bulk_create(
        Score(
            evaluation=one,
            miou=(one.pk * 7919 % 10007) / 10007,
            rounded_miou=(one.pk * 7919 % 11) / 10,
            rounded={"miou": (one.pk * 7919 % 11) / 10},
            miou_low=0.1,
            miou_high=0.9,
            class_ious={"a": 0.5, "b": 0.25},
            card={"zones": {}},
            engine_version="1",
            content_digest=str(one.pk),
            seconds=1,
            created_at=NOON,
        )
        for one in done
    )


def test_the_number_of_queries_does_not_grow_with_the_number_of_teams(phase: Phase) -> None:
    found = []
    for teams in (3, 60):
        make_crowd(phase, teams=teams, each=3)
        RankLine.objects.all().delete()
        with CaptureQueriesContext(connection) as queries:
            ranks.recompute(phase=phase, now=NOON)
        found.append(len(queries))
        Submission.objects.all().delete()
        Entry.objects.all().delete()
        Team.objects.all().delete()
    assert found[0] == found[1] <= 9


def test_a_board_takes_few_queries_however_long(phase: Phase) -> None:
    make_crowd(phase, teams=50, each=2)
    ranks.recompute(phase=phase, now=NOON)
    loaded = Phase.objects.select_related("challenge", "task_spec").get(pk=phase.pk)
    user = make_user()
    with CaptureQueriesContext(connection) as queries:
        board = leaderboard.of_phase(loaded, user=user, now=NOON)
    assert len(board.rows) == 50
    assert len(queries) <= 4
    assert [row.rank for row in board.rows] == sorted(row.rank or 0 for row in board.rows)
    found = pages.phase_by_slug(phase.challenge.slug, phase.slug, user=None)
    with CaptureQueriesContext(connection) as queries:
        again = leaderboard.of_phase(found, now=NOON)
    assert again.rows == board.rows
    assert len(queries) == 0, "the rows are cached while the ranks stand"


def test_cached_rows_do_not_depend_on_the_viewer(phase: Phase) -> None:
    score_of(phase, "a", 0.5)
    score_of(phase, "b", 0.4)
    captain = Membership.objects.get(team__name="b").user
    phase.refresh_from_db()
    for _ in range(2):
        mine = leaderboard.of_phase(phase, user=captain, now=NOON)
        assert [row.name for row in mine.rows if row.team_id == mine.my_team_id] == ["b"]
        assert leaderboard.of_phase(phase, now=NOON).my_team_id is None


def test_a_new_score_replaces_cached_rows(phase: Phase) -> None:
    score_of(phase, "a", 0.5)
    phase.refresh_from_db()
    assert [row.name for row in leaderboard.of_phase(phase, now=NOON).rows] == ["a"]
    score_of(phase, "b", 0.6)
    phase.refresh_from_db()
    assert [row.name for row in leaderboard.of_phase(phase, now=NOON).rows] == ["b", "a"]


def test_another_task_does_not_empty_the_board_before_it_has_scores(phase: Phase) -> None:
    score_of(phase, "a", 0.5)
    make_task(phase.challenge, absent_policy="zero")
    maintenance.sweep(now=NOON + timedelta(minutes=9))
    assert lines(phase) == [(1, "a", 0.5)]
