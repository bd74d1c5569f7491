"""A disqualified team: off every figure, no submission, no merge; and back again."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from challenge.errors import NotAllowed, NotFound, Refusal
from challenge.models import AuditEvent, OutgoingMail, Phase, RankLine, Registration, Team
from challenge.rules.roles import Role
from challenge.selectors import leaderboard, progress, team_pages
from challenge.services.accounts import accounts
from challenge.services.leaderboard import ranks
from challenge.services.submissions import disqualifications as submission_disqualifications
from challenge.services.submissions import rescore_previews, submissions
from challenge.services.submissions.submissions import MethodFacts
from challenge.services.teams import disqualifications, merges, teams
from tests import factories
from tests.factories import NOON

pytestmark = pytest.mark.django_db


def names_on(phase: Phase) -> list[tuple[str, int | None]]:
    phase.refresh_from_db()
    return [(row.name, row.rank) for row in leaderboard.of_phase(phase, now=NOON).rows]


@pytest.fixture
def rival(phase: Phase, team: Team) -> Team:
    """Team Beta, second behind Alpha, both scored."""
    rival = factories.make_team(phase.challenge, "Beta")
    factories.give_score(factories.submit(team, phase), 0.8)
    factories.give_score(factories.submit(rival, phase), 0.6)
    return rival


def test_its_lines_leave_every_figure_and_come_back(phase: Phase, team: Team, rival: Team) -> None:
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    assert names_on(phase) == [("Alpha", 1), ("Beta", 2)]
    disqualifications.disqualify(team=team, actor=judge, reason=" Copied labels. ", now=NOON)
    assert names_on(phase) == [("Beta", 1)]
    assert team_pages.progress(team, phase=phase, now=NOON) == []
    assert {point.team for point in progress.of_phase(phase, now=NOON)} == {"Beta"}
    assert [one.entry for one in ranks.deciding_submissions(
        phase, policy=ranks.policy_of(phase, now=NOON))] == [rival.entries.get().pk]  # fmt: skip
    disqualifications.lift(team=team, actor=judge, reason="It was another team.", now=NOON)
    assert names_on(phase) == [("Alpha", 1), ("Beta", 2)]
    first, second = AuditEvent.objects.filter(action__startswith="team.").order_by("pk")
    assert first.action == "team.disqualify"
    assert first.data["reason"] == "Copied labels."
    assert first.data["before"] == {"disqualified": False, "ranks": {str(phase): 1}}
    assert first.data["after"] == {"disqualified": True, "ranks": {}}
    assert second.data["before"]["reason"] == "Copied labels."
    assert second.data["after"] == {"disqualified": False, "ranks": {str(phase): 1}}
    row = team.disqualifications.get()
    assert (row.disqualified_by, row.lifted_by) == (judge, judge)


def test_a_disqualified_team_neither_submits_nor_merges(
    phase: Phase, team: Team, rival: Team
) -> None:
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    captain = factories.captain_of(team)
    asked = merges.ask(from_team=rival, to_team=team, actor=factories.captain_of(rival), now=NOON)
    _invitation, token = merges.invite(team=team, actor=captain, now=NOON)
    newcomer = factories.register(factories.make_user(), phase.challenge)
    disqualifications.disqualify(team=team, actor=judge, reason="r", now=NOON)
    attempts = [
        lambda: factories.submit(team, phase),
        lambda: submissions.precheck(user=captain, phase=phase, now=NOON),
        lambda: merges.answer(request=asked, actor=captain, accepted=True, now=NOON),
        lambda: merges.ask(from_team=team, to_team=rival, actor=captain, now=NOON),
        lambda: merges.accept(token=token, user=newcomer, now=NOON),
    ]
    for attempt in attempts:
        with pytest.raises(NotAllowed) as refused:
            attempt()
        assert refused.value.code == "team-disqualified"
    disqualifications.lift(team=team, actor=judge, now=NOON)
    factories.submit(team, phase)


def test_nobody_leaves_a_disqualified_team_to_compete_in_another(phase: Phase, team: Team) -> None:
    judge = factories.make_organiser(phase.challenge)
    disqualifications.disqualify(team=team, actor=judge, reason="r", now=NOON)
    captain = factories.captain_of(team)
    with pytest.raises(NotAllowed, match="disqualified"):
        teams.create(user=captain, challenge=phase.challenge, name="Fresh start")


def test_a_deleted_account_does_not_lift_it(phase: Phase, team: Team, rival: Team) -> None:
    judge = factories.make_organiser(phase.challenge)
    captain = factories.captain_of(team)
    email = captain.email
    disqualifications.disqualify(team=team, actor=judge, reason="r", now=NOON)
    accounts.delete(user=captain, now=NOON)
    back = factories.make_user("again")
    back.email = email
    back.save()
    factories.register(back, phase.challenge)
    archive = factories.bare_archive()
    with pytest.raises(NotAllowed) as refused:
        submissions.submit(
            user=back, phase=phase, archive=archive, method=MethodFacts("m"), now=NOON
        )
    assert refused.value.code == "team-disqualified"


def test_what_was_queued_is_scored_and_does_not_count(phase: Phase, team: Team) -> None:
    judge = factories.make_organiser(phase.challenge)
    waiting = factories.submit(team, phase)
    disqualifications.disqualify(team=team, actor=judge, reason="r", now=NOON)
    factories.give_score(waiting, 0.9)
    assert names_on(phase) == []


@pytest.mark.parametrize("role", [Role.EDITOR, Role.OBSERVER])
def test_other_roles_may_not(phase: Phase, team: Team, role: Role) -> None:
    actor = factories.make_organiser(phase.challenge, role=role)
    stranger = factories.make_organiser(factories.make_challenge("other"))
    for person in (actor, stranger, factories.captain_of(team)):
        with pytest.raises(NotAllowed):
            disqualifications.disqualify(team=team, actor=person, reason="r")
        with pytest.raises(NotAllowed):
            disqualifications.lift(team=team, actor=person)
    assert not team.disqualifications.exists()


def test_what_cannot_be_done_is_told(phase: Phase, team: Team) -> None:
    judge = factories.make_organiser(phase.challenge)
    platform = factories.make_team(phase.challenge, "Platform", is_platform=True)
    for code, wanted, reason in (
        ("reason-missing", team, "  "),
        ("not-found", platform, "r"),
    ):
        with pytest.raises(Refusal) as refused:
            disqualifications.disqualify(team=wanted, actor=judge, reason=reason)
        assert refused.value.code == code
    with pytest.raises(Refusal) as not_yet:
        disqualifications.lift(team=team, actor=judge)
    assert not_yet.value.code == "team-not-disqualified"
    disqualifications.disqualify(team=team, actor=judge, reason="r")
    with pytest.raises(Refusal) as twice:
        disqualifications.disqualify(team=team, actor=judge, reason="r")
    assert twice.value.code == "team-already-disqualified"
    assert isinstance(refused.value, NotFound)


def test_each_member_is_mailed_in_their_language(phase: Phase) -> None:
    judge = factories.make_organiser(phase.challenge)
    people = [factories.make_user(language="en"), factories.make_user(language="fr")]
    team = factories.make_team(phase.challenge, "Alpha", members=people)
    submission = factories.submit(team, phase)
    disqualifications.disqualify(team=team, actor=judge, reason="r", now=NOON)
    disqualifications.lift(team=team, actor=judge, now=NOON)
    submission_disqualifications.disqualify(
        submission=submission, actor=judge, reason="r", now=NOON
    )
    submission_disqualifications.reinstate(submission=submission, actor=judge, now=NOON)
    assert sorted(OutgoingMail.objects.values_list("recipient", flat=True)) == sorted(
        4 * [person.email for person in people]
    )


def test_the_sweep_ranks_anew_what_a_killed_process_left(
    phase: Phase, team: Team, rival: Team
) -> None:
    judge = factories.make_organiser(phase.challenge)
    lines = list(RankLine.objects.filter(entry__team=team))
    disqualifications.disqualify(team=team, actor=judge, reason="r", now=NOON)
    RankLine.objects.bulk_create(lines)
    Phase.objects.update(ranked_at=NOON.replace(year=2199))
    assert [one.pk for one in ranks.stale_phases(now=NOON)] == [phase.pk]


def test_a_preview_of_a_re_score_leaves_it_out(phase: Phase, team: Team, rival: Team) -> None:
    judge = factories.make_organiser(phase.challenge)
    disqualifications.disqualify(team=team, actor=judge, reason="r", now=NOON)
    preview = rescore_previews.preview(phase=phase, task_spec=phase.task_spec, now=NOON)
    assert [(one.team, one.rank_after) for one in preview.changes] == [("Beta", 1), ("Alpha", None)]


def test_refusing_an_approved_person_asks_what_becomes_of_the_lines(
    phase: Phase, team: Team, rival: Team
) -> None:
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    registration = Registration.objects.get(user=factories.captain_of(team))
    with pytest.raises(Refusal) as undecided:
        teams.decide_registration(registration=registration, actor=judge, approved=False)
    assert undecided.value.code == "registration-lines-undecided"
    registration.refresh_from_db()
    assert registration.state == "approved"
    teams.decide_registration(
        registration=registration, actor=judge, approved=False, lines=teams.Lines.KEEP
    )
    assert names_on(phase) == [("Alpha", 1), ("Beta", 2)]
    other = Registration.objects.get(user=factories.captain_of(rival))
    with pytest.raises(Refusal) as no_reason:
        teams.decide_registration(
            registration=other, actor=judge, approved=False, lines=teams.Lines.REMOVE
        )
    assert no_reason.value.code == "reason-missing"
    teams.decide_registration(
        registration=other, actor=judge, approved=False, note="n", lines=teams.Lines.REMOVE
    )
    assert names_on(phase) == [("Alpha", 1)]
    assert rival.disqualifications.get().reason == "n"


@pytest.mark.django_db(transaction=True)
def test_a_submission_at_the_same_time_is_refused_or_before_it() -> None:
    """The judge's act waits for the entry's lock: nothing is accepted after it."""
    phase = factories.make_phase()
    team = factories.make_team(phase.challenge, "Alpha")
    judge = factories.make_organiser(phase.challenge)
    factories.submit(team, phase)
    outcomes: list[str] = []

    def send() -> None:
        try:
            for _again in range(10):
                factories.submit(team, phase)
        except NotAllowed as refusal:
            outcomes.append(refusal.code)
        finally:
            connection.close()

    sender = threading.Thread(target=send)
    sender.start()
    disqualifications.disqualify(team=team, actor=judge, reason="r", now=NOON)
    before = team.entries.get().submissions.count()
    sender.join()
    assert team.entries.get().submissions.count() == before
    assert outcomes == ["team-disqualified"] or before == 11
