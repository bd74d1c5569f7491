"""Limits of the account pages: kind to a class behind one address, and they say when to return."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from challenge.models import User
from tests.web.conftest import Visit

pytestmark = pytest.mark.django_db
PASSWORD = "an old oak of Larche"
CLASS_SIZE = 30


def test_a_class_of_thirty_signs_up_and_logs_in_from_one_address() -> None:
    for number in range(CLASS_SIZE):
        email = f"pupil{number}@example.org"
        fields = {"email": email, "username": f"pupil{number}"}
        fields |= {"password1": PASSWORD, "password2": PASSWORD}
        assert Client().post(reverse("account_signup"), fields).status_code == 302, number
    assert User.objects.count() == CLASS_SIZE
    EmailAddress.objects.update(verified=True)
    for number in range(CLASS_SIZE):
        pupil, login = Client(), f"pupil{number}@example.org"
        for password in ("mistyped", PASSWORD):
            answer = pupil.post(reverse("account_login"), {"login": login, "password": password})
        assert answer.status_code == 302, number


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "Too many requests: wait "), ("fr", "Trop de requêtes\u00a0: attendez ")],
)
def test_who_meets_a_limit_is_told_when_to_try_again(
    settings: Settings, visit: Visit, language: str, words: str
) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login": "2/m/ip"}
    client = visit(language=language)
    wrong = {"login": "nobody@example.org", "password": "guess"}
    for _ in range(2):
        assert client.post(reverse("account_login"), wrong).status_code == 200
    answer = client.post(reverse("account_login"), wrong)

    assert answer.status_code == 429
    wait_s = int(answer["Retry-After"])
    assert 1 <= wait_s <= 60
    page = answer.content.decode()
    assert f"{words}{wait_s}" in page
    assert f'<html lang="{language}"' in page
    assert "css/site" in page


def test_a_limit_in_the_api_is_told_as_problem_json(settings: Settings, client: Client) -> None:
    settings.API_RATE_ADDRESS = 1
    assert client.get("/api/v1/challenges").status_code == 200
    answer = client.get("/api/v1/challenges")

    assert answer.status_code == 429
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "too-many-requests"
    assert int(answer["Retry-After"]) >= 1
