"""The Atom feeds of a challenge's announcements and of a phase's records."""

from __future__ import annotations

from datetime import datetime, timedelta
from xml.etree import ElementTree

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from challenge.models import Announcement, Challenge, Phase
from challenge.services import links
from tests import factories

pytestmark = pytest.mark.django_db
ATOM = {"a": "http://www.w3.org/2005/Atom"}


def test_the_feed_holds_what_was_published_in_the_readers_language(client: Client) -> None:
    challenge = factories.make_challenge()
    now = timezone.now()
    for days, name in ((-2, "first"), (-1, "second"), (1, "future")):
        Announcement.objects.create(
            challenge=challenge,
            title={"en": name, "fr": f"{name} en français"},
            body={"en": f"*{name}* [data](data/) <script>alert(1)</script>"},
            published_at=now + timedelta(days=days),
        )
    address = reverse("web:news-feed", args=[challenge.slug])
    assert address in client.get(reverse("web:news", args=[challenge.slug])).content.decode()
    answer = client.get(address, headers={"accept-language": "en"})
    assert answer.headers["Content-Type"].startswith("application/atom+xml")
    feed = ElementTree.fromstring(answer.content)
    entries = feed.findall("a:entry", ATOM)
    assert [entry.findtext("a:title", namespaces=ATOM) for entry in entries] == ["second", "first"]
    body = entries[0].findtext("a:summary", namespaces=ATOM) or ""
    page = reverse("web:challenge", args=[challenge.slug])
    assert f'href="{links.absolute(page)}data/"' in body
    assert "<em>second</em>" in body
    assert "<script" not in body
    french = client.get(address, headers={"accept-language": "fr"}).content.decode()
    assert "second en français" in french
    assert client.head(address).status_code == 200


def test_the_feed_of_a_draft_is_not_found(client: Client) -> None:
    challenge = factories.make_challenge(is_published=False)
    assert client.get(reverse("web:news-feed", args=[challenge.slug])).status_code == 404


def test_a_feed_without_entries_is_as_old_as_its_challenge(client: Client) -> None:
    challenge = factories.make_challenge()
    a_day_ago = timezone.now() - timedelta(days=1)
    Challenge.objects.filter(pk=challenge.pk).update(created_at=a_day_ago)
    answer = client.get(reverse("web:news-feed", args=[challenge.slug]))
    updated = ElementTree.fromstring(answer.content).findtext("a:updated", namespaces=ATOM) or ""
    assert datetime.fromisoformat(updated) == a_day_ago


def test_records_are_what_raised_the_best_value_as_anybody_may_read_it(
    client: Client, phase: Phase
) -> None:
    now = timezone.now()
    for hours, name, miou in ((9, "Oak", 0.5), (8, "Ash", 0.4), (7, "Elm", 0.6), (6, "Oak", 0.55)):
        team = phase.challenge.teams.filter(name=name).first()
        team = team or factories.make_team(phase.challenge, name)
        at = now - timedelta(hours=hours)
        factories.give_score(factories.submit(team, phase, at=at), miou, at=at)
    address = reverse("web:records-feed", args=[phase.challenge.slug, phase.slug])
    page = reverse("web:progress", args=[phase.challenge.slug, phase.slug])
    assert address in client.get(page).content.decode()
    feed = ElementTree.fromstring(client.get(address).content)
    titles = [one.findtext("a:title", namespaces=ATOM) for one in feed.findall("a:entry", ATOM)]
    assert titles == ["Elm: 60.00 %", "Oak: 50.00 %"]
    ids = {one.findtext("a:id", namespaces=ATOM) for one in feed.findall("a:entry", ATOM)}
    assert len(ids) == 2
    Phase.objects.filter(pk=phase.pk).update(visibility="organisers")
    feed = ElementTree.fromstring(client.get(address).content)
    assert feed.findall("a:entry", ATOM) == []
