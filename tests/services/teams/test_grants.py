"""Late entries and extra places for one team: what they allow, whom they hold, when they end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from challenge.errors import NotAllowed, QuotaExceeded, Refusal
from challenge.models import AuditEvent, Grant, OutgoingMail, Phase, Team
from challenge.rules.disclosure import Viewer
from challenge.rules.roles import Role
from challenge.selectors import leaderboard, phase_disclosure
from challenge.services.challenges import settlement
from challenge.services.leaderboard import ranks
from challenge.services.submissions import evaluations, quota, submissions
from challenge.services.teams import grants, merges
from tests import factories
from tests.factories import NOON

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def phase(db: None) -> Phase:
    """A phase that closes at NOON, two submissions a day and three in all."""
    return factories.make_phase(
        opens_at=NOON - 10 * DAY, closes_at=NOON, daily_limit=2, total_limit=3
    )


def give(team: Team, phase: Phase, *, now: datetime, **fields: Any) -> Grant:
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    given = {"until": NOON + 2 * DAY, "reason": "Our disk was full."} | fields
    return grants.give(team=team, phase=phase, actor=judge, now=now, **given)


def refused(code: str, attempt: Any) -> None:
    with pytest.raises(Refusal) as raised:
        attempt()
    assert raised.value.code == code


def rounded(phase: Phase, *, now: datetime) -> bool:
    phase.refresh_from_db()
    return phase_disclosure.policy_for(phase, viewer=Viewer.READER, now=now).rounded


def test_a_late_entry_lets_one_team_submit_after_the_close(phase: Phase, team: Team) -> None:
    other = factories.make_team(phase.challenge, "Beta")
    factories.give_score(factories.submit(other, phase, at=NOON - DAY), 0.4)
    grant = give(team, phase, now=NOON - DAY, late=True)
    late = NOON + DAY
    phase.refresh_from_db()
    refused("phase-closed", lambda: factories.submit(other, phase, at=late))
    factories.give_score(factories.submit(team, phase, at=late), 0.6)
    refused("phase-closed", lambda: factories.submit(team, phase, at=grant.until))
    rows = leaderboard.of_phase(phase, now=late).rows
    assert [(row.name, row.marks) for row in rows] == [("Alpha", ["late"]), ("Beta", [])]


def test_everybodys_values_stay_rounded_until_it_ends(phase: Phase, team: Team) -> None:
    factories.give_score(factories.submit(team, phase, at=NOON - DAY), 0.4)
    give(team, phase, now=NOON - DAY, late=True)
    ranks.recompute(phase=phase, now=NOON + DAY)
    assert rounded(phase, now=NOON + DAY)
    phase.refresh_from_db()
    assert phase_disclosure.labels_sealed(phase, now=NOON + DAY)
    assert phase.ground_truth is not None
    assert phase.ground_truth.full_precision_at is None
    assert not rounded(phase, now=NOON + 3 * DAY)


def test_another_phase_on_the_same_labels_waits_as_well(phase: Phase, team: Team) -> None:
    twin = factories.make_phase(
        phase.challenge, "twin", ground_truth=phase.ground_truth, opens_at=NOON - 10 * DAY,
        closes_at=NOON - 5 * DAY,
    )  # fmt: skip
    give(team, phase, now=NOON - 6 * DAY, late=True)
    assert rounded(twin, now=NOON + DAY)
    assert not rounded(twin, now=NOON + 3 * DAY)


def test_a_withdrawn_late_entry_ends_at_once(phase: Phase, team: Team) -> None:
    grant = give(team, phase, now=NOON - DAY, late=True)
    judge = factories.make_organiser(phase.challenge)
    grants.withdraw(grant=grant, actor=judge, now=NOON + DAY)
    refused("phase-closed", lambda: factories.submit(team, phase, at=NOON + DAY))
    assert not rounded(phase, now=NOON + DAY)
    refused("grant-over", lambda: grants.withdraw(grant=grant, actor=judge, now=NOON + DAY))
    actions = AuditEvent.objects.order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["grant.give", "grant.withdraw"]


@pytest.mark.parametrize("kind", [{"late": True}, {"extra_places": 2}])
def test_nothing_is_granted_once_values_could_leave_in_full(
    phase: Phase, team: Team, kind: dict[str, Any]
) -> None:
    refused("grant-disclosed", lambda: give(team, phase, now=NOON + DAY, **kind))
    assert not Grant.objects.exists()


def test_extra_places_are_on_top_of_both_limits_and_used_once(phase: Phase, team: Team) -> None:
    start = NOON - 5 * DAY
    for _one in range(2):
        factories.submit(team, phase, at=start)
    with pytest.raises(QuotaExceeded):
        factories.submit(team, phase, at=start)
    give(team, phase, now=start, extra_places=3, until=NOON - DAY)
    assert quota.view(team=team, phase=phase, now=start).left == 3
    factories.submit(team, phase, at=start)
    factories.submit(team, phase, at=start)
    assert quota.view(team=team, phase=phase, now=start).left == 1
    # Two of the three were used above the limit of the first day: three are left on the next,
    # of which the total of six allows two.
    view = quota.view(team=team, phase=phase, now=start + DAY)
    assert (view.daily_limit, view.left_total, view.left) == (3, 2, 2)
    # When it ends the usual limits are back.
    assert quota.view(team=team, phase=phase, now=NOON - DAY).left == 0
    other = factories.make_team(phase.challenge, "Beta")
    assert quota.view(team=other, phase=phase, now=start).left == 2


def test_the_board_marks_extra_places(phase: Phase, team: Team) -> None:
    factories.give_score(factories.submit(team, phase, at=NOON - 2 * DAY), 0.4)
    assert leaderboard.of_phase(phase, now=NOON - DAY).rows[0].marks == []
    give(team, phase, now=NOON - 2 * DAY, extra_places=1)
    phase.refresh_from_db()
    assert leaderboard.of_phase(phase, now=NOON - DAY).rows[0].marks == ["extra-places"]


def test_a_late_team_chooses_its_finals_until_its_end(phase: Phase, team: Team) -> None:
    Phase.objects.update(finals_limit=1)
    give(team, phase, now=NOON - DAY, late=True)
    phase.refresh_from_db()
    late = NOON + DAY
    submission = factories.submit(team, phase, at=late)
    factories.give_score(submission, 0.6)
    captain = factories.captain_of(team)
    submissions.choose_final(submission=submission, actor=captain, chosen=True, now=late)
    refused(
        "finals-closed",
        lambda: submissions.choose_final(
            submission=submission, actor=captain, chosen=False, now=NOON + 3 * DAY
        ),
    )


def test_a_merged_team_takes_its_grant_along(phase: Phase, team: Team) -> None:
    target = factories.make_team(phase.challenge, "Beta")
    give(team, phase, now=NOON - 3 * DAY, extra_places=2)
    asked = merges.ask(
        from_team=team, to_team=target, actor=factories.captain_of(team), now=NOON - 2 * DAY
    )
    merges.answer(
        request=asked, actor=factories.captain_of(target), accepted=True, now=NOON - 2 * DAY
    )
    assert quota.view(team=target, phase=phase, now=NOON - DAY).left == 4


def test_the_team_is_mailed_and_the_trail_says_what(phase: Phase, team: Team) -> None:
    give(team, phase, now=NOON - DAY, late=True, extra_places=2)
    assert OutgoingMail.objects.get().recipient == factories.captain_of(team).email
    event = AuditEvent.objects.get()
    assert event.data["after"] == {
        "phase": str(phase),
        "late": True,
        "extra_places": 2,
        "until": (NOON + 2 * DAY).isoformat(),
    }
    assert event.data["reason"] == "Our disk was full."


def test_what_cannot_be_granted_is_told(phase: Phase, team: Team) -> None:
    now = NOON - DAY
    other = factories.make_phase(factories.make_challenge("other"), "x")
    endless = factories.make_phase(phase.challenge, "endless", closes_at=None)
    for code, fields in (
        ("reason-missing", {"late": True, "reason": " "}),
        ("grant-empty", {}),
        ("grant-empty", {"extra_places": -1, "late": True}),
        ("grant-empty", {"extra_places": 1001}),
        ("grant-until-invalid", {"extra_places": 1, "until": now}),
        ("grant-late-before-close", {"late": True, "until": NOON}),
    ):
        refused(code, lambda fields=fields: give(team, phase, now=now, **fields))
    refused("grant-late-before-close", lambda: give(team, endless, now=now, late=True))
    refused("not-found", lambda: give(team, other, now=now, late=True))
    assert not Grant.objects.exists()


@pytest.mark.parametrize("role", [Role.EDITOR, Role.OBSERVER])
def test_other_roles_may_not(phase: Phase, team: Team, role: Role) -> None:
    grant = give(team, phase, now=NOON - DAY, late=True)
    actor = factories.make_organiser(phase.challenge, role=role)
    with pytest.raises(NotAllowed):
        grants.give(team=team, phase=phase, actor=actor, until=NOON + DAY, reason="r", late=True)
    with pytest.raises(NotAllowed):
        grants.withdraw(grant=grant, actor=actor)


def test_the_settlement_waits_for_a_late_entry_and_ends_what_can_be_granted(
    phase: Phase, team: Team
) -> None:
    factories.make_phase(
        phase.challenge, "twin", ground_truth=phase.ground_truth, closes_at=NOON + 30 * DAY
    )
    give(team, phase, now=NOON - DAY, late=True)
    assert settlement.settle_due(now=NOON + DAY) == []
    factories.submit(team, phase, at=NOON + DAY)
    assert settlement.settle_due(now=NOON + 2 * DAY) == []
    waiting = team.entries.get().submissions.get()
    captain = factories.captain_of(team)
    evaluations.cancel(submission=waiting, actor=captain, now=NOON + 2 * DAY)
    assert settlement.settle_due(now=NOON + 4 * DAY) == [phase]
    # The labels are open in another phase: nothing left in full, but the result stands.
    late = {"late": True, "until": NOON + 9 * DAY}
    refused("phase-settled", lambda: give(team, phase, now=NOON + 5 * DAY, **late))
