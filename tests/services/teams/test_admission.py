"""The admission list, approval that is switched on and off, accepted versions of the rules."""

from __future__ import annotations

import threading

import pytest
from allauth.account.models import EmailAddress
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from challenge.errors import NotAllowed, Refusal
from challenge.models import (
    AdmissionEntry,
    AuditEvent,
    Challenge,
    OutgoingMail,
    Phase,
    Registration,
    User,
)
from challenge.rules.roles import Role
from challenge.services.notifications import mail_queue
from challenge.services.submissions import submissions
from challenge.services.teams import admission, teams
from tests import factories
from tests.factories import NOON

pytestmark = pytest.mark.django_db


def person(email: str, *, verified: bool = True, **fields: str) -> User:
    """Somebody with one address."""
    user = factories.make_user(email.partition("@")[0].replace("+", ""), **fields)
    user.email = email
    user.save()
    EmailAddress.objects.create(user=user, email=email, verified=verified, primary=True)
    return user


def register(user: User, challenge: Challenge) -> str:
    version = challenge.terms_version
    return teams.register(user=user, challenge=challenge, accept_terms_version=version).state


@pytest.fixture
def challenge() -> Challenge:
    return factories.make_challenge(approval_required=True)


@pytest.fixture
def judge(challenge: Challenge) -> User:
    return factories.make_organiser(challenge, role=Role.JUDGE)


def test_who_is_on_the_list_is_approved_at_once(challenge: Challenge, judge: User) -> None:
    text = "ada@example.org\n@ign.fr\n"
    assert admission.add(challenge=challenge, actor=judge, text=text) == (2, 0)
    assert register(person("ADA+flair@Example.org"), challenge) == "approved"
    assert register(person("bo@ign.fr"), challenge) == "approved"
    assert register(person("cy@sub.ign.fr"), challenge) == "pending"
    assert register(person("ada2@example.org"), challenge) == "pending"
    # Nobody gets in with an address that was typed and never confirmed.
    assert register(person("dan@ign.fr", verified=False), challenge) == "pending"
    admission.add(challenge=challenge, actor=judge, text="ada@example.org\n@new.org")
    assert AdmissionEntry.objects.count() == 3


def test_who_waits_and_is_on_a_new_list_is_approved_and_mailed(
    challenge: Challenge, judge: User
) -> None:
    ada, bo = person("ada@ign.fr", language="fr"), person("bo@other.org")
    for user in (ada, bo):
        register(user, challenge)
    assert admission.add(challenge=challenge, actor=judge, text="@ign.fr", now=NOON) == (1, 1)
    states = dict(Registration.objects.values_list("user__username", "state"))
    assert (states["ada"], states["bo"]) == ("approved", "pending")
    [mail] = OutgoingMail.objects.all()
    assert mail.recipient == ada.email
    text = mail_queue._cipher().decrypt(bytes(mail.sealed_message)).decode()
    assert "acceptée" in text
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert actions == {"admission.add", "registration.approve"}


def test_a_refused_mailbox_stays_refused(challenge: Challenge, judge: User) -> None:
    ada = person("ada@ign.fr")
    register(ada, challenge)
    registration = Registration.objects.get(user=ada)
    teams.decide_registration(registration=registration, actor=judge, approved=False, note="n")
    admission.add(challenge=challenge, actor=judge, text="@ign.fr")
    registration.refresh_from_db()
    assert registration.state == "refused"


@pytest.mark.parametrize(
    ("text", "code"),
    [("ada@b.org\nnobody", "admission-line-invalid"), (" \n", "admission-empty"),
     ("\n".join(f"a{n}@b.org" for n in range(5001)), "admission-too-long")],
)  # fmt: skip
def test_a_wrong_list_saves_nothing(
    challenge: Challenge, judge: User, text: str, code: str
) -> None:
    with pytest.raises(Refusal) as refused:
        admission.add(challenge=challenge, actor=judge, text=text)
    assert refused.value.code == code
    if code == "admission-line-invalid":
        assert refused.value.params["line"] == 2
    assert not AdmissionEntry.objects.exists()


def test_approval_is_switched_and_entries_are_taken_off(challenge: Challenge, judge: User) -> None:
    admission.add(challenge=challenge, actor=judge, text="@ign.fr")
    entry = AdmissionEntry.objects.get()
    other = factories.make_challenge("other")
    owner = factories.make_organiser(other)
    with pytest.raises(Refusal, match="no such thing"):
        admission.remove(challenge=other, actor=owner, entry_id=entry.pk)
    admission.remove(challenge=challenge, actor=judge, entry_id=entry.pk)
    assert register(person("a@ign.fr"), challenge) == "pending"
    admission.require_approval(challenge=challenge, actor=judge, required=False)
    assert register(person("b@ign.fr"), challenge) == "approved"
    event = AuditEvent.objects.get(action="registration.mode")
    assert event.data["before"] == {"approval_required": True}
    admission.require_approval(challenge=challenge, actor=judge, required=False)
    assert AuditEvent.objects.filter(action="registration.mode").count() == 1


@pytest.mark.parametrize("role", [Role.EDITOR, Role.OBSERVER, None])
def test_other_roles_may_not(challenge: Challenge, judge: User, role: Role | None) -> None:
    admission.add(challenge=challenge, actor=judge, text="@ign.fr")
    actor = (
        factories.make_user() if role is None else factories.make_organiser(challenge, role=role)
    )
    attempts = (
        lambda: admission.add(challenge=challenge, actor=actor, text="@b.org"),
        lambda: admission.remove(
            challenge=challenge, actor=actor, entry_id=AdmissionEntry.objects.get().pk
        ),
        lambda: admission.require_approval(challenge=challenge, actor=actor, required=False),
    )
    for attempt in attempts:
        with pytest.raises(NotAllowed):
            attempt()
    assert AdmissionEntry.objects.count() == 1


def test_each_accepted_version_is_kept_and_a_new_one_is_asked_for(phase: Phase) -> None:
    team = factories.make_team(phase.challenge, "Alpha")
    captain = factories.captain_of(team)
    Challenge.objects.update(terms_version="2")
    phase.challenge.refresh_from_db()
    with pytest.raises(Refusal) as refused:
        submissions.precheck(user=captain, phase=phase, now=NOON)
    assert refused.value.code == "terms-outdated"
    teams.register(user=captain, challenge=phase.challenge, accept_terms_version="2")
    submissions.precheck(user=captain, phase=phase, now=NOON)
    registration = Registration.objects.get(user=captain)
    assert [one.version for one in registration.acceptances.all()] == ["1", "2"]
    teams.register(user=captain, challenge=phase.challenge, accept_terms_version="2")
    assert registration.acceptances.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_registration_while_the_list_is_saved_is_approved() -> None:
    """Either the one that saves finds the row, or the one that registers finds the list."""
    challenge = factories.make_challenge(approval_required=True)
    judge = factories.make_organiser(challenge, role=Role.JUDGE)
    people = [person(f"p{n}@ign.fr") for n in range(8)]

    def join() -> None:
        try:
            for user in people:
                register(user, challenge)
        finally:
            connection.close()

    joiner = threading.Thread(target=join)
    joiner.start()
    admission.add(challenge=challenge, actor=judge, text="@ign.fr")
    joiner.join()
    assert set(Registration.objects.values_list("state", flat=True)) == {"approved"}


@pytest.mark.django_db(transaction=True)
def test_registrations_from_before_have_accepted_the_version_that_they_name() -> None:
    before, after = (
        [("challenge", name)]
        for name in ("0017_team_disqualifications", "0018_admission_and_terms")
    )
    latest = MigrationExecutor(connection).loader.graph.leaf_nodes("challenge")
    try:
        MigrationExecutor(connection).migrate(before)
        old = MigrationExecutor(connection).loader.project_state(before).apps
        made = old.get_model("challenge", "Registration").objects.create(
            challenge=old.get_model("challenge", "Challenge").objects.create(slug="abc"),
            user=old.get_model("challenge", "User").objects.create(username="a", email="a@b.org"),
            terms_version="7",
            accepted_at=NOON,
        )
        MigrationExecutor(connection).migrate(after)
        new = MigrationExecutor(connection).loader.project_state(after).apps
        [row] = new.get_model("challenge", "TermsAcceptance").objects.all()
        assert (row.registration_id, row.version, row.accepted_at) == (made.pk, "7", NOON)
    finally:
        MigrationExecutor(connection).migrate(latest)
