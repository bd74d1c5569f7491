"""The desk's page editor: preview, versions, restoring, removal, and the participant's view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from challenge.models import AuditEvent, Challenge, Page, PageVersion
from challenge.rules.roles import Role
from challenge.services.challenges import challenges
from challenge.services.challenges.load_report import Take
from tests import factories
from tests.web.conftest import Visit

pytestmark = pytest.mark.django_db
SCRIPT = "<script>alert(1)</script> [x](javascript:alert(1)) <img src=x onerror=alert(1)>"


@pytest.fixture
def challenge(db: None) -> Challenge:
    return factories.make_challenge("draft", is_published=False)


@pytest.fixture
def client(challenge: Challenge, visit: Visit) -> Client:
    return visit(factories.make_organiser(challenge, role=Role.EDITOR))


def editor(challenge: Challenge, slug: str = "rules", language: str = "en") -> str:
    return reverse("web:desk-page", args=[challenge.slug, slug, language])


def send(client: Client, url: str, **fields: Any) -> Any:
    return client.post(url, {"title": "Rules", "markdown": "Be kind.", "seen": 0} | fields)


def texts(challenge: Challenge) -> list[tuple[str, str]]:
    return list(challenge.pages.order_by("language").values_list("language", "markdown"))


def test_a_page_is_added_previewed_saved_and_translated(
    challenge: Challenge, client: Client
) -> None:
    listed = reverse("web:desk-pages", args=[challenge.slug])
    assert client.post(listed, {"page": "Not a slug"}).status_code == 422
    assert client.post(listed, {"page": "rules"}).url == editor(challenge)  # type: ignore[attr-defined]
    answer = send(client, editor(challenge), markdown=f"## Fair\n{SCRIPT}", act="preview")
    body = answer.content.decode()
    assert '<h2 id="fair"' in body
    assert "Preview, not saved" in body
    for harm in ("<script>alert", "onerror=alert(1)>", 'href="javascript:'):
        assert harm not in body
    assert not PageVersion.objects.exists()
    assert send(client, editor(challenge)).status_code == 302
    assert "not written" in client.get(listed).content.decode()
    assert send(client, editor(challenge, language="fr"), title="Règlement").status_code == 302
    assert "not written" not in client.get(listed).content.decode()
    assert texts(challenge) == [("en", "Be kind.\n"), ("fr", "Be kind.\n")]
    assert [event.action for event in AuditEvent.objects.all()] == ["page.save"] * 2


def test_a_stale_save_writes_nothing_and_can_be_sent_again(
    challenge: Challenge, client: Client
) -> None:
    send(client, editor(challenge))
    send(client, editor(challenge), markdown="Theirs.", seen=1)
    answer = send(client, editor(challenge), markdown="Mine.", seen=1)
    assert answer.status_code == 409
    assert "Somebody else saved this page" in answer.content.decode()
    assert texts(challenge) == [("en", "Theirs.\n")]
    assert 'name="seen" value="2"' in answer.content.decode()
    assert "Mine." in answer.content.decode()
    assert send(client, editor(challenge), markdown="Mine.", seen=2).status_code == 302
    versions = PageVersion.objects.order_by("number").values_list("number", "markdown")
    assert list(versions) == [(1, "Be kind.\n"), (2, "Theirs.\n"), (3, "Mine.\n")]


def test_a_version_is_restored_even_of_a_removed_page(challenge: Challenge, client: Client) -> None:
    send(client, editor(challenge), markdown="One.")
    send(client, editor(challenge), markdown="Two.", seen=1)
    first, last = (
        reverse("web:desk-page-version", args=[challenge.slug, version.pk])
        for version in PageVersion.objects.order_by("number")
    )
    assert "The page shows this version" in client.get(last).content.decode()
    assert "One." in client.get(first).content.decode()
    assert client.post(first).status_code == 302
    assert texts(challenge) == [("en", "One.\n")]
    send(client, editor(challenge), act="remove")
    assert texts(challenge) == []
    latest = PageVersion.objects.get(number=3)
    third = reverse("web:desk-page-version", args=[challenge.slug, latest.pk])
    listed = client.get(reverse("web:desk-pages", args=[challenge.slug])).content.decode()
    assert third in listed
    client.post(third)
    assert texts(challenge) == [("en", "One.\n")]
    assert PageVersion.objects.count() == 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"markdown": "  "}, "The page is empty"),
        ({"markdown": "Fine.\n\n[[clases]]"}, "Line 3: [[clases]] stands for nothing"),
        ({"markdown": "[data](data)"}, "Line 1 links to “data”, no page of this challenge"),
        ({"title": "t" * 201}, "at most 200 characters"),
    ],
)
def test_what_no_folder_could_hold_is_refused(
    challenge: Challenge, client: Client, fields: dict[str, str], words: str
) -> None:
    answer = send(client, editor(challenge), **fields)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Page.objects.exists()


def test_a_published_challenge_keeps_the_pages_that_joining_needs(visit: Visit) -> None:
    challenge = factories.make_challenge()
    client = visit(factories.make_organiser(challenge))
    send(client, editor(challenge))
    answer = client.post(editor(challenge), {"act": "remove"}, follow=True)
    assert "Joining leads through the page" in answer.content.decode()
    assert challenge.pages.count() == 1


def test_a_draft_is_previewed_as_a_participant_sees_it(
    challenge: Challenge, client: Client
) -> None:
    factories.make_phase(challenge, "secret", is_published=False, truth=False)
    factories.make_phase(challenge, "open-one", truth=False)
    send(client, editor(challenge, "overview"), title="Overview", markdown="[[phases]]")
    address = reverse("web:desk-preview", args=[challenge.slug, "overview"])
    body = client.get(address).content.decode()
    assert "open-one" in body
    assert "secret" not in body
    assert reverse("web:training", args=[challenge.slug]) not in body
    organisers = client.get(reverse("web:challenge", args=[challenge.slug])).content.decode()
    assert "secret" in organisers


def test_a_folder_that_is_loaded_leaves_the_desks_text_as_a_version(visit: Visit) -> None:
    challenges.load(Path("challenges/flair-1"))
    challenge = Challenge.objects.get(slug="flair-1")
    client = visit(factories.make_organiser(challenge))
    stored = challenge.pages.get(slug="rules", language="en")
    assert send(client, editor(challenge), markdown="The desk's.", seen=1).status_code == 302
    challenges.load(Path("challenges/flair-1"))
    assert challenge.pages.get(slug="rules", language="en").markdown == "The desk's.\n"
    challenges.load(Path("challenges/flair-1"), take=Take.FILE)
    assert challenge.pages.get(slug="rules", language="en").markdown == stored.markdown
    kept = challenge.page_versions.filter(slug="rules", language="en").order_by("number")
    assert [version.markdown for version in kept][1] == "The desk's.\n"
    assert kept.count() == 3


def test_a_version_of_another_challenge_is_not_found(
    challenge: Challenge, client: Client, visit: Visit
) -> None:
    send(client, editor(challenge))
    other = factories.make_challenge("other")
    stranger = visit(factories.make_organiser(other))
    number = PageVersion.objects.get().pk
    address = reverse("web:desk-page-version", args=[other.slug, number])
    assert stranger.get(address).status_code == 404
    assert stranger.post(address).status_code == 404
