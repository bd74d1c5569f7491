"""The desk's pages of messages: preview, test, sending, the log."""

from __future__ import annotations

import pytest
from django.urls import reverse

from challenge.models import Message, OutgoingMail, Phase, Team, User
from challenge.rules.roles import Role
from tests import factories
from tests.web.conftest import Visit

pytestmark = pytest.mark.django_db
FIELDS = {"state": "approved", "subject_en": "Rules", "body_en": "Read <them>."}


def act(phase: Phase, name: str) -> str:
    return reverse("web:desk-messages-act", args=[phase.challenge.slug, name])


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_judge_previews_tries_and_sends(
    phase: Phase, team: Team, visit: Visit, language: str
) -> None:
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    client = visit(judge, language=language)
    page = client.post(act(phase, "preview"), FIELDS)
    assert page.status_code == 200
    assert "Read &lt;them&gt;." in page.content.decode()
    assert 'name="expected" value="1"' in page.content.decode()
    assert not OutgoingMail.objects.exists()
    client.post(act(phase, "test"), FIELDS)
    assert OutgoingMail.objects.get().recipient == judge.email
    told = client.post(act(phase, "send"), FIELDS | {"expected": "2"})
    assert told.status_code == 422
    assert not Message.objects.exists()
    shown = client.post(act(phase, "send"), FIELDS | {"expected": "1"}, follow=True)
    assert "Read &lt;them&gt;." in shown.content.decode()
    assert factories.captain_of(team).username in shown.content.decode()
    listed = client.get(reverse("web:desk-messages", args=[phase.challenge.slug]))
    assert "Rules" in listed.content.decode()


@pytest.mark.parametrize("role", [Role.EDITOR, Role.OBSERVER])
def test_others_of_the_desk_read_alone(phase: Phase, team: Team, visit: Visit, role: Role) -> None:
    judge = factories.make_organiser(phase.challenge)
    visit(judge).post(act(phase, "send"), FIELDS | {"expected": "1"})
    client = visit(factories.make_organiser(phase.challenge, role=role))
    page = client.get(reverse("web:desk-messages", args=[phase.challenge.slug]))
    assert "Rules" in page.content.decode()
    assert act(phase, "preview") not in page.content.decode()
    for name in ("preview", "test", "send"):
        assert client.post(act(phase, name), FIELDS | {"expected": "1"}).status_code == 403
    assert Message.objects.count() == 1


def test_a_message_of_another_challenge_is_not_found(
    phase: Phase, team: Team, visit: Visit
) -> None:
    judge = factories.make_organiser(phase.challenge)
    visit(judge).post(act(phase, "send"), FIELDS | {"expected": "1"})
    other = factories.make_challenge("other")
    client = visit(factories.make_organiser(other))
    found = Message.objects.get()
    assert client.get(reverse("web:desk-message", args=[other.slug, found.pk])).status_code == 404


def test_a_person_says_on_the_account_page_that_none_are_wanted(team: Team, visit: Visit) -> None:
    person = factories.captain_of(team)
    client = visit(person)
    assert "mail_on_message" in client.get(reverse("web:profile")).content.decode()
    fields = {"username": person.username, "language": "en", "theme": "auto"}
    client.post(reverse("web:profile"), fields)
    assert not User.objects.get(pk=person.pk).mail_on_message
