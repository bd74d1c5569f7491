"""No mail and no kept link is made of the Host header, whoever writes what into it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from challenge.models import Team, User
from challenge.services.notifications import mails
from tests import factories
from tests.helpers import confirm_password
from tests.web.conftest import Visit

SITE_URL = "https://challenges.example.org"
HOSTS = ("localhost:666", "127.0.0.1:8099")
PASSWORD = "an old oak of Larche"
LINKS = re.compile(r"\b\w+://[^\s>]+")
HOST_LIKE = re.compile(r"localhost|127\.0\.0\.1|testserver|:666")


@pytest.fixture(autouse=True)
def _site(settings: Settings) -> None:
    settings.SITE_URL = SITE_URL
    settings.ACCOUNT_RATE_LIMITS = False


@pytest.fixture(params=HOSTS)
def hostile(request: pytest.FixtureRequest) -> Client:
    """A browser that calls the site by a name and port of its own choice."""
    return Client(headers={"host": request.param})


def person() -> User:
    user = factories.make_user()
    user.set_password(PASSWORD)
    user.save()
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


def sign_up(client: Client, email: str) -> None:
    fields = {"email": email, "username": "newcomer", "password1": PASSWORD, "password2": PASSWORD}
    client.post(reverse("account_signup"), fields)


def reset(client: Client) -> None:
    client.post(reverse("account_reset_password"), {"email": person().email})


def reset_of_nobody(client: Client) -> None:
    client.post(reverse("account_reset_password"), {"email": "nobody@example.org"})


def confirm(client: Client) -> None:
    sign_up(client, "newcomer@example.org")


def sign_up_again(client: Client) -> None:
    sign_up(client, person().email)


def change_address(client: Client) -> None:
    client.force_login(person())
    confirm_password(client, PASSWORD)
    client.post(reverse("account_email"), {"action_add": "1", "email": "second@example.org"})


def invite(client: Client) -> None:
    team = factories.make_team(factories.make_phase().challenge)
    client.force_login(factories.captain_of(team))
    client.post(
        reverse("web:team-act", args=[team.challenge.slug, "invite"]), {"email": "bo@example.org"}
    )
    mails.send_due()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "act", [reset, reset_of_nobody, confirm, sign_up_again, change_address, invite]
)
def test_mails_link_to_the_site_whatever_host_the_request_names(
    hostile: Client, act: Callable[[Client], None]
) -> None:
    act(hostile)

    message = mail.outbox[0]
    links = LINKS.findall(str(message.body))
    assert links
    assert [link for link in links if not link.startswith(f"{SITE_URL}/")] == []
    assert not HOST_LIKE.search(f"{message.subject} {message.body}")


@pytest.mark.django_db
def test_an_invitation_link_is_made_of_the_sites_address(hostile: Client, team: Team) -> None:
    hostile.force_login(factories.captain_of(team))
    act = reverse("web:team-act", args=[team.challenge.slug, "invite"])
    page = hostile.post(act, {"email": ""}, follow=True).content.decode()

    assert re.search(rf"{SITE_URL}/invitations/[^<]+<", page)
    assert not re.search(r"(localhost|127\.0\.0\.1):\d+/invitations", page)


@pytest.mark.django_db
def test_another_port_in_the_host_is_no_fresh_limit_of_log_ins(settings: Settings) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "3/5m/key"}
    user = person()
    answers = []
    for port in range(1000, 1005):
        client = Client(headers={"host": f"localhost:{port}"})
        answer = client.post(reverse("account_login"), {"login": user.email, "password": "guess"})
        answers.append("Too many failed log-ins" in answer.content.decode())

    assert answers == [False, False, False, True, True]


@pytest.mark.django_db
def test_the_page_after_sign_in_keeps_the_host_that_people_use(visit: Visit) -> None:
    answer = Client(headers={"host": "127.0.0.1:8099"}).get(reverse("web:profile"))

    assert answer["Location"].startswith("/")
