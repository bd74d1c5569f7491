"""What pages read: positions in the queue, one's own submissions, a team's way up."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from challenge.errors import Refusal
from challenge.models import Phase, Submission, Team, User
from challenge.rules.disclosure import Viewer
from challenge.selectors import leaderboard, people, progress, queue, submissions, team_pages
from challenge.services.submissions import evaluations, rescoring
from tests.factories import (
    NOON,
    captain_of,
    give_score,
    make_card,
    make_organiser,
    make_phase,
    make_team,
    make_truth,
    make_user,
    submit,
)

pytestmark = pytest.mark.django_db


def test_queue_positions_match_the_order_of_claims(phase: Phase, team: Team) -> None:
    first, second = (submit(team, phase, at=NOON + timedelta(minutes=m)) for m in (0, 1))
    other = submit(make_team(phase.challenge), phase, at=NOON + timedelta(minutes=2))
    positions = {
        one.pk: queue.position(one.evaluations.get(), now=NOON) for one in (first, second, other)
    }
    assert [positions[one.pk].ahead for one in (first, other, second)] == [0, 1, 2]
    assert positions[first.pk].waiting == 3
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    assert claim.submission_id == first.pk
    assert queue.position(first.evaluations.get()) is None
    assert queue.position(other.evaluations.get(), now=NOON).ahead == 0


def test_the_start_is_estimated_from_what_scoring_took(phase: Phase, team: Team) -> None:
    waiting = submit(team, phase)
    assert queue.position(waiting.evaluations.get(), now=NOON).starts_at is None
    done = submit(make_team(phase.challenge), phase)
    done.evaluations.update(queued_at=NOON - timedelta(days=1))
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    later = NOON + timedelta(seconds=40)
    evaluations.complete_scored(claim.evaluation_id, attempt=1, card=make_card(), now=later)
    assert queue.typical_seconds() == 40
    assert queue.position(waiting.evaluations.get(), now=NOON).starts_at == NOON


def test_members_see_their_teams_submissions_and_nobody_elses(phase: Phase, team: Team) -> None:
    mate = make_user()
    team.memberships.create(user=mate, challenge=phase.challenge)
    own = submit(team, phase)
    foreign = submit(make_team(phase.challenge), phase)
    assert list(submissions.mine(mate)) == [own]
    assert submissions.get(own.pk, user=mate)[1] is Viewer.OWNER
    for wrong in (foreign.pk, "no-uuid", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(Refusal) as refused:
            submissions.get(wrong, user=mate)
        assert refused.value.code == "not-found"
    organiser = make_user()
    make_organiser(phase.challenge, organiser)
    assert submissions.get(foreign.pk, user=organiser)[1] is Viewer.ORGANISER
    assert set(submissions.of_challenge(phase.challenge, user=organiser)) == {own, foreign}
    with pytest.raises(Refusal):
        submissions.of_challenge(phase.challenge, user=mate)


def test_a_list_takes_few_queries_however_long(phase: Phase, team: Team) -> None:
    for minute in range(6):
        give_score(submit(team, phase, at=NOON + timedelta(minutes=minute)), 0.1 * minute)
    user = captain_of(team)
    with CaptureQueriesContext(connection) as queries:
        shown = [
            submissions.shown_miou(one, viewer=Viewer.OWNER, now=NOON)
            for one in submissions.mine(user, phase=phase)
        ]
    assert len(shown) == 6
    assert len(queries) <= 3


def test_a_submissions_page_takes_few_queries(phase: Phase, team: Team) -> None:
    submission = submit(team, phase)
    give_score(submission, 0.123456789)
    user = captain_of(team)
    with CaptureQueriesContext(connection) as queries:
        seen = submissions.detail(submission.pk, user=user, now=NOON)
    assert len(queries) <= 5
    assert seen.card is not None
    assert seen.card["miou"] in (0.123, 0.124)
    assert (seen.state, seen.is_moving, seen.score_hidden) == ("scored", False, False)


def test_a_hidden_score_is_reported_as_hidden() -> None:
    phase = make_phase(visibility="organisers")
    team = make_team(phase.challenge)
    submission = submit(team, phase)
    give_score(submission, 0.5)
    seen = submissions.detail(submission.pk, user=captain_of(team), now=NOON)
    assert (seen.card, seen.score_hidden) == (None, True)


def test_the_evaluation_that_counts_is_that_under_the_present_labels(
    phase: Phase, team: Team
) -> None:
    submission = submit(team, phase)
    give_score(submission, 0.5)
    rescoring.enqueue(phase=phase, ground_truth=make_truth(phase.challenge), actor=None)

    def seen() -> str:
        return submissions.detail(submission.pk, user=captain_of(team), now=NOON).state

    assert seen() == "scored"
    Phase.objects.update(ground_truth=phase.challenge.ground_truths.order_by("-version").first())
    assert seen() == "queued"


def test_others_see_a_teams_rises_alone(phase: Phase, team: Team) -> None:
    for minute, miou in enumerate([0.3, 0.2, 0.4, None]):
        give_score(submit(team, phase, at=NOON + timedelta(minutes=minute)), miou)
    own = team_pages.progress(team, phase=phase, user=captain_of(team), now=NOON)
    assert [(step.miou, step.best) for step in own] == [
        (0.3, 0.3),
        (0.2, 0.3),
        (0.4, 0.4),
        (None, 0.4),
    ]
    public = team_pages.progress(team, phase=phase, user=None, now=NOON)
    assert [step.miou for step in public] == [0.3, 0.4]


def test_the_board_shows_what_the_phase_says(phase: Phase, team: Team) -> None:
    give_score(submit(team, phase), 0.123456789)
    rival = make_user()

    def see(**changed: object) -> leaderboard.Leaderboard:
        Phase.objects.update(**changed)
        fresh = Phase.objects.select_related("challenge", "task_spec").get(pk=phase.pk)
        return leaderboard.of_phase(fresh, user=rival, now=NOON + timedelta(hours=1))

    [row] = see().rows
    assert row.rank == 1
    assert row.miou in (0.123, 0.124)
    assert set(row.class_ious) == {"a", "b"}
    assert set(row.class_ious.values()) <= {0.12, 0.125}
    assert see(detail="miou").rows[0].class_ious == {}
    assert not see(visibility="after-close").visible
    assert see(closes_at=NOON).rows[0].miou == 0.123456789


def test_organising_is_asked_once_a_request(phase: Phase) -> None:
    user = make_user()
    with CaptureQueriesContext(connection) as queries:
        for _ in range(5):
            assert not people.is_organiser(user, phase.challenge)
    assert len(queries) == 1


def test_an_anonymous_viewer_has_no_team_and_no_submissions(phase: Phase) -> None:
    assert list(submissions.mine(None)) == []
    assert people.team_of(None, phase.challenge) is None
    assert Submission.objects.count() == 0


def test_the_chart_shows_no_score_that_the_leaderboard_did_not_show(phase: Phase) -> None:
    alpha, beta = make_team(phase.challenge, "Alpha"), make_team(phase.challenge, "Beta")
    told = [(alpha, 0.5), (beta, 0.3), (alpha, 0.4), (beta, 0.45), (alpha, 0.6)]
    for minute, (team, miou) in enumerate(told):
        give_score(submit(team, phase, at=NOON + timedelta(minutes=minute)), miou)

    def seen(user: User | None) -> list[tuple[str, float, bool]]:
        return [
            (one.team, one.miou, one.best) for one in progress.of_phase(phase, user=user, now=NOON)
        ]

    public = [("Alpha", 0.5, True), ("Beta", 0.3, False), ("Beta", 0.45, False)]
    public.append(("Alpha", 0.6, True))
    assert seen(None) == seen(captain_of(beta)) == public
    organiser = make_user()
    make_organiser(phase.challenge, organiser)
    assert ("Alpha", 0.4, False) in seen(organiser)


def test_a_submission_scored_again_is_one_point_of_the_chart(phase: Phase, team: Team) -> None:
    again = submit(team, phase)
    give_score(again, 0.5)
    rescoring.enqueue(phase=phase, submissions=[again], force=True, actor=None)
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    evaluations.complete_scored(
        claim.evaluation_id, attempt=claim.attempt, card=make_card(0.6), now=NOON
    )
    assert [one.miou for one in progress.of_phase(phase, now=NOON)] == [0.6]
