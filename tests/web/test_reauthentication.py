"""Who finds a signed-in browser cannot take the account over, and its owner is told."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client
from django.urls import reverse

from challenge.models import User
from tests import factories
from tests.helpers import confirm_password

pytestmark = pytest.mark.django_db
OLD, NEW = "owner@example.org", "thief@example.org"
TOKEN = {"name": "laptop", "scopes": ["read"], "days": "30"}


@pytest.fixture
def owner() -> User:
    user = factories.make_user("owner")
    EmailAddress.objects.create(user=user, email=OLD, verified=True, primary=True)
    return user


@pytest.fixture
def browser(owner: User, settings: Any) -> Client:
    """A browser that somebody left signed in."""
    settings.ACCOUNT_RATE_LIMITS = False
    client = Client()
    client.force_login(owner)
    return client


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("account_email", {"action_add": "", "email": NEW}),
    ("account_email", {"action_primary": "", "email": "second@example.org"}),
    ("account_email", {"action_remove": "", "email": "second@example.org"}),
    ("web:tokens", TOKEN),
    ("mfa_activate_totp", {"code": "000000"}),
    ("mfa_generate_recovery_codes", {}),
]


@pytest.mark.parametrize(("page", "fields"), CHANGES, ids=str)
def test_changes_that_take_an_account_over_want_the_password(
    browser: Client, owner: User, page: str, fields: dict[str, Any]
) -> None:
    EmailAddress.objects.create(user=owner, email="second@example.org", verified=True)
    before = list(EmailAddress.objects.values_list("email", "primary").order_by("pk"))
    answer = browser.post(reverse(page), fields)
    assert (answer.status_code, "reauthenticate" in answer["Location"]) == (302, True)
    confirm_password(browser, "a guess")
    answer = browser.post(reverse(page), fields)
    assert "reauthenticate" in answer["Location"]
    assert list(EmailAddress.objects.values_list("email", "primary").order_by("pk")) == before
    assert not owner.api_tokens.exists()
    assert mail.outbox == []


def test_deleting_the_account_wants_the_password(browser: Client) -> None:
    answer = browser.post(reverse("web:delete-account"), {"password": "a guess"})
    assert answer.status_code == 422
    assert User.objects.filter(username="owner").exists()


def test_a_new_password_wants_the_former_one(browser: Client, owner: User) -> None:
    fields = {"oldpassword": "a guess", "password1": "an old oak 7", "password2": "an old oak 7"}
    browser.post(reverse("account_change_password"), fields)
    owner.refresh_from_db()
    assert owner.check_password("secret")


def test_the_former_address_is_told_of_every_change(browser: Client, owner: User) -> None:
    assert confirm_password(browser).status_code == 302
    email = reverse("account_email")
    browser.post(email, {"action_add": "", "email": NEW})
    assert {(one.to[0], NEW in one.body) for one in mail.outbox} >= {(OLD, True)}
    EmailAddress.objects.filter(email=NEW).update(verified=True)

    mail.outbox.clear()
    browser.post(email, {"action_primary": "", "email": NEW})
    assert [(one.to[0], NEW in one.body) for one in mail.outbox] == [(OLD, True)]

    mail.outbox.clear()
    browser.post(email, {"action_remove": "", "email": OLD})
    assert {one.to[0] for one in mail.outbox} == {OLD, NEW}
    assert all(OLD in one.body for one in mail.outbox)


def test_the_password_holds_for_some_minutes(browser: Client, owner: User, settings: Any) -> None:
    confirm_password(browser)
    assert browser.post(reverse("web:tokens"), TOKEN).status_code == 200
    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 0
    assert browser.post(reverse("web:tokens"), TOKEN).status_code == 302
    assert owner.api_tokens.count() == 1
