"""The desk's pages of registrations and of the admission list."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from challenge.models import AdmissionEntry, Challenge, Phase, Registration, Team, User
from challenge.rules.roles import Role
from tests import factories
from tests.web.conftest import Visit

pytestmark = pytest.mark.django_db


@pytest.fixture
def challenge(phase: Phase) -> Challenge:
    phase.challenge.approval_required = True
    phase.challenge.save()
    return phase.challenge


def listing(challenge: Challenge) -> str:
    return reverse("web:desk-registrations", args=[challenge.slug])


def decision(registration: Registration) -> str:
    args = [registration.challenge.slug, registration.pk]
    return reverse("web:desk-registration", args=args)


def act(challenge: Challenge, name: str) -> str:
    return reverse("web:desk-admission-act", args=[challenge.slug, name])


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_judge_approves_and_refuses(challenge: Challenge, visit: Visit, language: str) -> None:
    client = visit(factories.make_organiser(challenge, role=Role.JUDGE), language=language)
    user = factories.register(factories.make_user(), challenge)
    row = Registration.objects.get(user=user)
    page = client.get(listing(challenge), {"state": "pending"}).content.decode()
    assert user.email in page
    client.post(decision(row), {"decision": "approve", "note": "Welcome"})
    row.refresh_from_db()
    assert (row.state, row.note) == ("approved", "Welcome")
    assert user.email not in client.get(listing(challenge), {"state": "pending"}).content.decode()
    told = client.post(decision(row), {"decision": "refuse", "note": "Twice"}, follow=True)
    assert user.username in told.content.decode()
    row.refresh_from_db()
    assert row.state == "refused"


def test_refusing_asks_what_becomes_of_the_lines(
    phase: Phase, challenge: Challenge, team: Team, visit: Visit
) -> None:
    row = Registration.objects.get(user=factories.captain_of(team))
    Registration.objects.update(state="approved")
    factories.give_score(factories.submit(team, phase), 0.5)
    client = visit(factories.make_organiser(challenge))
    assert 'name="lines"' in client.get(listing(challenge)).content.decode()
    told = client.post(decision(row), {"decision": "refuse", "lines": ""}, follow=True)
    assert "what becomes of its lines" in told.content.decode()
    client.post(decision(row), {"decision": "refuse", "lines": "remove", "note": "Copied"})
    assert team.disqualifications.get().reason == "Copied"
    odd = client.post(decision(row), {"decision": "refuse", "lines": "burn"})
    assert odd.status_code == 404


@pytest.mark.parametrize("role", [Role.EDITOR, Role.OBSERVER])
def test_others_of_the_desk_see_no_address_and_decide_nothing(
    challenge: Challenge, visit: Visit, role: Role
) -> None:
    user = factories.register(factories.make_user(), challenge)
    row = Registration.objects.get(user=user)
    client = visit(factories.make_organiser(challenge, role=role))
    page = client.get(listing(challenge)).content.decode()
    assert user.username in page
    assert user.email not in page
    assert user.username in client.get(listing(challenge), {"q": "zzz"}).content.decode()
    assert client.post(decision(row), {"decision": "approve"}).status_code == 403
    for name in ("check", "save", "remove", "mode"):
        assert client.post(act(challenge, name), {"entries": "@b.org"}).status_code == 403
    assert not AdmissionEntry.objects.exists()


def test_a_registration_of_another_challenge_is_not_found(
    challenge: Challenge, visit: Visit
) -> None:
    row = Registration.objects.get(user=factories.register(factories.make_user(), challenge))
    other = factories.make_challenge("other")
    client = visit(factories.make_organiser(other))
    address = reverse("web:desk-registration", args=[other.slug, row.pk])
    assert client.post(address, {"decision": "approve"}).status_code == 404


def test_a_file_is_reported_on_before_it_is_saved(challenge: Challenge, visit: Visit) -> None:
    client = visit(factories.make_organiser(challenge))
    text = "email;name\nada@b.org;Ada\nnobody;X\n@ign.fr;\nADA@b.org;again\n"
    file = SimpleUploadedFile("list.csv", b"\xef\xbb\xbf" + text.encode(), "text/csv")
    page = client.post(act(challenge, "check"), {"file": file}).content.decode()
    assert "Line 3: “nobody”" in page
    assert "Save 2 entries" in page
    assert not AdmissionEntry.objects.exists()
    assert "Line 3" in client.post(act(challenge, "save"), {"entries": text}).content.decode()
    assert not AdmissionEntry.objects.exists()
    told = client.post(act(challenge, "save"), {"entries": "ada@b.org\n@ign.fr"}, follow=True)
    assert "2 entries added" in told.content.decode()
    entry = AdmissionEntry.objects.get(value="@ign.fr")
    client.post(act(challenge, "remove"), {"entry": entry.pk})
    assert not AdmissionEntry.objects.filter(value="@ign.fr").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"a" * 500_001, "500001 bytes"),
        (b" ", "no address"),
    ],
)
def test_a_file_that_is_no_list_is_told(
    challenge: Challenge, visit: Visit, content: bytes, told: str
) -> None:
    client = visit(factories.make_organiser(challenge))
    file = SimpleUploadedFile("list.csv", content, "text/csv")
    page = client.post(act(challenge, "check"), {"file": file})
    assert page.status_code == 422
    assert told in page.content.decode()


def test_approval_is_switched(challenge: Challenge, visit: Visit) -> None:
    client = visit(factories.make_organiser(challenge))
    client.post(act(challenge, "mode"), {"mode": "automatic"})
    challenge.refresh_from_db()
    assert not challenge.approval_required
    assert client.post(act(challenge, "mode"), {"mode": "odd"}).status_code == 404
    assert client.post(act(challenge, "remove"), {"entry": "x"}).status_code == 404


def test_a_thousand_registrations_take_few_queries(challenge: Challenge, visit: Visit) -> None:
    client = visit(factories.make_organiser(challenge))
    people = User.objects.bulk_create(
        User(username=f"someone{n}", email=f"s{n}@b.org", name_key=f"s{n}") for n in range(300)
    )
    Registration.objects.bulk_create(
        Registration(challenge=challenge, user=user, state="pending", terms_version="1",
                     accepted_at=timezone.now())
        for user in people
    )  # fmt: skip
    with CaptureQueriesContext(connection) as queries:
        page = client.get(listing(challenge), {"page": 2, "q": "someone"})
    assert page.status_code == 200
    assert len(queries) <= 20
    assert "(300)" in page.content.decode()
