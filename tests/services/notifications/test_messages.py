"""Messages to participants: whom they reach, once each, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail

from challenge.errors import NotAllowed, Refusal
from challenge.models import (
    AuditEvent,
    Message,
    MessageDelivery,
    OutgoingMail,
    Phase,
    Registration,
    User,
)
from challenge.rules.roles import Role
from challenge.selectors import messages as selector
from challenge.selectors.messages import Audience
from challenge.services.accounts import accounts
from challenge.services.notifications import mail_queue, messages
from challenge.services.teams import disqualifications
from tests import factories
from tests.factories import NOON

pytestmark = pytest.mark.django_db
SUBJECT = {"en": "The rules", "fr": "Le règlement"}
BODY = {"en": "Read them.", "fr": "Lisez-le."}


@pytest.fixture
def people(phase: Phase) -> dict[str, User]:
    """Ada (first), Bo (second, French), Cy who has not submitted, Di who waits for approval."""
    challenge = phase.challenge
    found = {
        "ada": factories.make_user("ada"),
        "bo": factories.make_user("bo", language="fr"),
        "cy": factories.make_user("cy"),
        "di": factories.make_user("di"),
    }
    for name, miou in (("ada", 0.8), ("bo", 0.6)):
        team = factories.make_team(challenge, f"Team of {name}", members=[found[name]])
        factories.give_score(factories.submit(team, phase), miou)
    for name in ("cy", "di"):
        factories.register(found[name], challenge)
    Registration.objects.filter(user=found["di"]).update(state="pending")
    return found


def reached(of: Phase, /, *, about_rules: bool = False, **audience: Any) -> set[str]:
    rows = selector.recipients(of.challenge, Audience(**audience), about_rules=about_rules)
    assert len(rows) == len(set(rows))
    return {person.username for person in rows}


def send(phase: Phase, actor: User, expected: int, **more: Any) -> Message:
    given: dict[str, Any] = {"subject": SUBJECT, "body": BODY, "audience": Audience(), "now": NOON}
    return messages.send(
        challenge=phase.challenge, actor=actor, expected=expected, **(given | more)
    )


def test_it_reaches_people_by_state_phase_and_rank(
    phase: Phase, people: Mapping[str, User]
) -> None:
    slug = phase.slug
    assert reached(phase) == {"ada", "bo", "cy"}
    assert reached(phase, state="pending") == {"di"}
    assert reached(phase, state="refused") == set()
    assert reached(phase, phase=slug, submitted="yes") == {"ada", "bo"}
    assert reached(phase, phase=slug, submitted="no") == {"cy"}
    assert reached(phase, phase=slug, rank_to=1) == {"ada"}
    assert reached(phase, phase=slug, rank_to=9) == {"ada", "bo"}
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    team = people["ada"].memberships.get().team
    disqualifications.disqualify(team=team, actor=judge, reason="r", now=NOON)
    assert reached(phase, phase=slug, rank_to=1) == {"bo"}


def test_who_wants_none_gets_changes_of_the_rules_alone(
    phase: Phase, people: Mapping[str, User]
) -> None:
    User.objects.filter(username="ada").update(mail_on_message=False)
    User.objects.filter(username="cy").update(is_active=False)
    assert reached(phase) == {"bo"}
    assert reached(phase, about_rules=True) == {"ada", "bo"}


def test_each_gets_one_mail_in_their_language_and_the_log_says_so(
    phase: Phase, people: Mapping[str, User]
) -> None:
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    sent = send(phase, judge, 3)
    assert OutgoingMail.objects.count() == 3
    assert mail_queue.send_due(now=NOON) == 3
    texts = {one.to[0]: (one.subject, str(one.body)) for one in mail.outbox}
    assert "Lisez-le." in texts[people["bo"].email][1]
    assert "Read them." in texts[people["ada"].email][1]
    assert texts[people["ada"].email][0] == "ABC: The rules"
    assert "/account/" in texts[people["ada"].email][1]
    found = selector.get(phase.challenge, sent.pk)
    assert (found.recipient_count, found.sent_count, found.given_up_count) == (3, 3, 0)
    event = AuditEvent.objects.get(action="message.send")
    assert event.data["recipients"] == 3
    accounts.delete(user=people["cy"], now=NOON)
    assert sent.deliveries.count() == 3


def test_what_cannot_be_delivered_is_given_up_and_told(
    phase: Phase, people: Mapping[str, User]
) -> None:
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    sent = send(phase, judge, 3)
    OutgoingMail.objects.filter(recipient=people["ada"].email).update(sealed_message=b"x")
    OutgoingMail.objects.filter(recipient=people["bo"].email).update(expires_at=NOON)
    assert mail_queue.send_due(now=NOON) == 1
    states = {
        delivery.user.username: (delivery.sent_at, delivery.given_up_at)
        for delivery in MessageDelivery.objects.all()
        if delivery.user is not None
    }
    assert states == {"ada": (None, NOON), "bo": (None, NOON), "cy": (NOON, None)}
    assert {one.user.username for one in selector.unsent(sent) if one.user} == {"ada", "bo"}
    assert not OutgoingMail.objects.exists()


def test_a_message_of_one_language_reaches_everybody_in_it(
    phase: Phase, people: Mapping[str, User]
) -> None:
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    send(
        phase, judge, 3, subject={"en": "", "fr": "Le règlement"}, body={"en": " ", "fr": "Lisez."}
    )
    mail_queue.send_due(now=NOON)
    assert all("Lisez." in str(one.body) for one in mail.outbox)


def test_a_test_goes_to_oneself_alone(phase: Phase, people: Mapping[str, User]) -> None:
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    made = messages.send_test(
        challenge=phase.challenge, actor=judge, subject=SUBJECT, body=BODY, now=NOON
    )
    assert made == 2
    assert set(OutgoingMail.objects.values_list("recipient", flat=True)) == {judge.email}
    assert not Message.objects.exists()
    test: dict[str, Any] = {
        "challenge": phase.challenge,
        "actor": judge,
        "subject": SUBJECT,
        "body": BODY,
    }
    for _again in range(19):
        messages.send_test(**test, now=NOON)
    with pytest.raises(Refusal) as often:
        messages.send_test(**test, now=NOON)
    assert often.value.code == "too-many-requests"


def test_five_a_day(phase: Phase, people: Mapping[str, User]) -> None:
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    for _one in range(5):
        send(phase, judge, 3)
    with pytest.raises(Refusal) as often:
        send(phase, judge, 3)
    assert (often.value.code, often.value.status) == ("messages-often", 429)
    send(phase, judge, 3, now=NOON + timedelta(days=1))


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("message-audience-changed", {"expected": 4}),
        ("message-empty", {"subject": {"en": "x"}, "body": {"en": " "}}),
        ("message-empty", {"subject": {}, "body": {}}),
        ("message-empty", {"subject": SUBJECT, "body": {"en": "x"}}),
        ("field-too-long", {"subject": {"en": "x" * 151}, "body": {"en": "x"}}),
        ("message-nobody", {"audience": Audience(state="refused"), "expected": 0}),
        ("message-audience-invalid", {"audience": Audience(state="odd")}),
        ("message-audience-invalid", {"audience": Audience(phase="none")}),
        ("message-audience-invalid", {"audience": Audience(submitted="yes")}),
        ("message-audience-invalid", {"audience": Audience(rank_to=1)}),
        ("message-audience-invalid", {"audience": Audience(phase="test", rank_to=0)}),
    ],
)
def test_what_cannot_be_sent_is_told_and_nothing_is(
    phase: Phase, people: Mapping[str, User], code: str, changes: dict[str, Any]
) -> None:
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    with pytest.raises(Refusal) as refused:
        send(phase, judge, **({"expected": 3} | changes))
    assert refused.value.code == code
    assert not OutgoingMail.objects.exists()


@pytest.mark.parametrize("role", [Role.EDITOR, Role.OBSERVER])
def test_other_roles_may_not(phase: Phase, people: Mapping[str, User], role: Role) -> None:
    actor = factories.make_organiser(phase.challenge, role=role)
    with pytest.raises(NotAllowed):
        send(phase, actor, 3)
    with pytest.raises(NotAllowed):
        messages.send_test(challenge=phase.challenge, actor=actor, subject=SUBJECT, body=BODY)
