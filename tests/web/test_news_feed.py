"""The Atom feed of a challenge's announcements."""

from __future__ import annotations

from datetime import datetime, timedelta
from xml.etree import ElementTree

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from challenge.models import Announcement, Challenge
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
