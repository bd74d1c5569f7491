"""The pages on which people manage their webhooks."""

from __future__ import annotations

import html as entities
from typing import Any

import pytest
from django.urls import reverse

from challenge.models import Phase, User, Webhook
from challenge.selectors import webhooks as selector
from challenge.services.notifications import webhooks
from tests import factories
from tests.web.conftest import Visit

# An address of documentation's own network: public to the eye, never called here.
HOOK = "https://93.184.215.14/hook"
FIELDS = {"url": HOOK, "events": ["submission.scored", "phase.closed"]}


@pytest.fixture
def owner(db: None) -> User:
    return factories.make_user("owner")


def page(name: str = "webhooks", *arguments: object) -> str:
    return reverse(f"web:{name}", args=list(arguments))


def shown(answer: Any) -> str:
    return entities.unescape(answer.content.decode())


def test_a_secret_is_shown_once_and_is_the_one_that_signs(owner: User, visit: Visit) -> None:
    client = visit(owner)
    made = shown(client.post(page(), FIELDS))
    hook = Webhook.objects.get()
    assert hook.secret in made
    assert (hook.user, hook.url, hook.challenge) == (owner, HOOK, None)
    assert hook.events == ["phase.closed", "submission.scored"]
    for address in (page(), page("webhook", hook.pk)):
        again = shown(client.get(address))
        assert HOOK in again
        assert hook.secret not in again


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"events": ["phase.closed"]}, "This field is required."),
        ({"url": HOOK}, "This field is required."),
        ({"url": "https://127.0.0.1/", "events": ["phase.closed"]}, "in a private network"),
        ({"url": "ftp://93.184.215.14/", "events": ["phase.closed"]}, "it must begin with https"),
        ({"url": HOOK, "events": ["everything"]}, "Select a valid choice."),
    ],
)
def test_a_form_with_a_fault_says_so_and_makes_nothing(
    owner: User, visit: Visit, settings: Any, fields: dict[str, object], said: str
) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE = False
    answer = visit(owner).post(page(), fields)
    assert answer.status_code == 422
    assert said in shown(answer)
    assert not Webhook.objects.exists()


def test_a_refusal_is_translated_into_french(owner: User, visit: Visit, settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE = False
    fields = FIELDS | {"url": "https://10.0.0.1/"}
    told = shown(visit(owner, language="fr").post(page(), fields))
    assert "son hôte se trouve dans un réseau privé" in told


def test_only_organisers_choose_a_challenge(phase: Phase, visit: Visit) -> None:
    organiser, other = factories.make_user(), factories.make_user()
    factories.make_organiser(phase.challenge, organiser)
    fields = FIELDS | {"challenge": str(phase.challenge.pk)}
    visit(other).post(page(), fields)
    visit(organiser).post(page(), fields)
    assert list(Webhook.objects.order_by("pk").values_list("user", "challenge")) == [
        (other.pk, None),  # the field is not there for them
        (organiser.pk, phase.challenge.pk),
    ]
    assert 'name="challenge"' not in shown(visit(other).get(page()))


def test_a_trial_is_in_the_log(owner: User, visit: Visit) -> None:
    hook = webhooks.create(user=owner, url=HOOK, events=["phase.closed"])
    client = visit(owner)
    html = shown(client.post(page("ping-webhook", hook.pk), follow=True))
    assert "a trial" in html
    assert "on its way" in html
    assert hook.deliveries.get().event == "ping"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attempts": 1, "last_status": 500, "last_error": "answered 500"}, "a répondu 500"),
        ({"attempts": 2, "last_error": "the connection failed"}, "la connexion a échoué"),
        (
            {"attempts": 7, "next_attempt_at": None, "last_error": "it did not answer in time"},
            "abandonné",
        ),
        (
            {"attempts": 1, "next_attempt_at": None, "last_status": 200, "delivered": True},
            "arrivé",
        ),
    ],
)
def test_the_log_says_how_it_went_in_the_readers_language(
    owner: User, visit: Visit, changes: dict[str, Any], said: str
) -> None:
    hook = webhooks.create(user=owner, url=HOOK, events=["phase.closed"])
    sent = webhooks.ping(webhook=hook)
    if changes.pop("delivered", False):
        changes["delivered_at"] = sent.created_at
    hook.deliveries.update(**changes)
    assert said in shown(visit(owner, language="fr").get(page("webhook", hook.pk)))


def test_what_was_sent_is_shown_and_escaped(owner: User, visit: Visit) -> None:
    hook = webhooks.create(user=owner, url=HOOK, events=["submission.scored"])
    sent = webhooks.ping(webhook=hook)
    sent.payload = {"team": "</pre><script>alert(1)</script>"}
    sent.save()
    html = visit(owner).get(page("webhook", hook.pk)).content.decode()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_deletion_takes_the_log_along(owner: User, visit: Visit) -> None:
    hook = webhooks.create(user=owner, url=HOOK, events=["phase.closed"])
    webhooks.ping(webhook=hook)
    html = shown(visit(owner).post(page("delete-webhook", hook.pk), follow=True))
    assert "The webhook is deleted." in html
    assert not Webhook.objects.exists()


@pytest.mark.parametrize("name", ["webhook", "ping-webhook", "delete-webhook"])
def test_another_person_finds_no_webhook(owner: User, visit: Visit, name: str) -> None:
    hook = webhooks.create(user=owner, url=HOOK, events=["phase.closed"])
    stranger = visit(factories.make_user())
    act = stranger.get if name == "webhook" else stranger.post
    assert act(page(name, hook.pk)).status_code == 404
    assert Webhook.objects.exists()
    assert not hook.deliveries.exists()


def test_a_long_list_takes_one_query(
    owner: User, visit: Visit, django_assert_num_queries: Any
) -> None:
    for _ in range(4):
        webhooks.ping(webhook=webhooks.create(user=owner, url=HOOK, events=["phase.closed"]))
    with django_assert_num_queries(1):
        assert len(selector.of_user(owner)) == 4
