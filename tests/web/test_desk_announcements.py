"""Announcements on the desk: read by everybody, in the feed, mailed to who asked, withdrawn."""

from __future__ import annotations

import pytest
from django.core import mail
from django.urls import reverse

from challenge.models import AuditEvent, Phase, Team
from challenge.rules.roles import Role
from challenge.services.notifications import mails
from tests import factories
from tests.web.conftest import Visit

pytestmark = pytest.mark.django_db


def test_an_editor_announces_and_withdraws(visit: Visit, phase: Phase, team: Team) -> None:
    challenge = phase.challenge
    captain = factories.captain_of(team)
    captain.mail_on_announcement = True
    captain.save()
    editor = visit(factories.make_organiser(challenge, role=Role.EDITOR))
    address = reverse("web:desk-announcements", args=[challenge.slug])
    sent = {
        "title_en": "New data",
        "body_en": "There are **more** images.",
        "title_fr": "Nouvelles données",
        "body_fr": "Il y a plus d’images.",
        "mail_to": "subscribers",
    }
    refused = editor.post(address, sent | {"body_fr": ""})
    assert refused.status_code == 422
    assert "New data" in refused.content.decode()
    assert "Announced." in editor.post(address, sent, follow=True).content.decode()
    news = reverse("web:news", args=[challenge.slug])
    assert "<strong>more</strong>" in visit().get(news).content.decode()
    assert "Nouvelles données" in visit(language="fr").get(news).content.decode()
    assert (
        "New data" in visit().get(reverse("web:news-feed", args=[challenge.slug])).content.decode()
    )
    while mails.send_due():
        pass
    assert [one.to for one in mail.outbox] == [[captain.email]]
    number = challenge.announcements.get().pk
    gone = editor.post(address, {"withdraw": number}, follow=True).content.decode()
    assert "The announcement is off the site." in gone
    assert "New data" not in visit().get(news).content.decode()
    assert editor.post(address, {"withdraw": number}).status_code == 404
    acts = AuditEvent.objects.filter(action__startswith="announcement.").order_by("pk")
    assert [one.action.partition(".")[2] for one in acts] == ["create", "mailed", "withdraw"]


def test_judges_read_and_do_not_write(visit: Visit, phase: Phase) -> None:
    judge = visit(factories.make_organiser(phase.challenge, role=Role.JUDGE))
    address = reverse("web:desk-announcements", args=[phase.challenge.slug])
    assert "title_en" not in judge.get(address).content.decode()
    assert judge.post(address, {"title_en": "a", "body_en": "b"}).status_code == 403
