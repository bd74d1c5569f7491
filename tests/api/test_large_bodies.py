"""Bodies that no honest client sends are refused by their size and shape, in words."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from challenge.services.accounts import tokens
from tests import factories

pytestmark = pytest.mark.django_db
WEBHOOK: dict[str, Any] = {"url": "https://93.184.215.14/", "events": ["phase.closed"]}


@pytest.fixture
def caller() -> Client:
    user = factories.register(factories.make_user("ada"), factories.make_challenge())
    _row, plain = tokens.create(user=user, name="t", scopes=["read", "submit", "organise"])
    return Client(headers={"authorization": f"Bearer {plain}"})


def post(caller: Client, body: bytes, path: str = "/api/v1/webhooks", method: str = "POST") -> Any:
    return caller.generic(method, path, body, content_type="application/json")


def operations() -> list[tuple[str, str]]:
    """Every operation of the API that takes a JSON body, from its own document."""
    paths = Client().get("/api/v1/openapi.json").json()["paths"]
    return [
        (method.upper(), path.replace("{", "").replace("}", ""))
        for path, methods in paths.items()
        for method, operation in methods.items()
        if isinstance(operation, dict)
        and "application/json" in operation.get("requestBody", {}).get("content", {})
    ]


def test_a_body_with_many_keys_is_refused_before_each_is_looked_at(caller: Client) -> None:
    usual_s = min(_seconds(caller, json.dumps(WEBHOOK | {"extra": 1}).encode()) for _ in range(3))
    many = json.dumps(WEBHOOK | {f"k{n}": 0 for n in range(70_000)}).encode()
    assert len(many) < 2**20
    answer = post(caller, many)
    assert (answer.status_code, answer.json()["code"]) == (400, "body-too-complex")
    assert "1000" in answer.json()["detail"]
    # A body of a megabyte may cost its parsing; validation of each key took 1.5 s and more.
    assert min(_seconds(caller, many) for _ in range(3)) < usual_s + 0.75


def _seconds(caller: Client, body: bytes) -> float:
    start_s = time.perf_counter()
    post(caller, body)
    return time.perf_counter() - start_s


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 20 + b"]" * 20,
        json.dumps({"events": ["x"] * 2000}).encode(),
        json.dumps([{}] * 1001).encode(),
        json.dumps({"a": [{"b": [0] * 40}] * 40}).encode(),
    ],
    ids=["deep", "long", "objects", "wide and deep"],
)
def test_deep_and_long_values_are_refused_in_words(caller: Client, body: bytes) -> None:
    answer = post(caller, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "body-too-complex")


@pytest.mark.parametrize("body", [b"[" * 500_000, b'{"a":' * 100_000, b"{", b"\xff", b"1e999999"])
def test_no_body_is_an_error_of_ours(caller: Client, body: bytes) -> None:
    assert post(caller, body).status_code in {400, 422}


def test_every_operation_refuses_a_large_body_with_413(caller: Client) -> None:
    found = operations()
    assert len(found) >= 8
    for method, path in found:
        answer = post(caller, b'{"a":"' + b"x" * 2**20 + b'"}', path, method)
        if answer.status_code not in {401, 403, 404}:
            assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large"), path
    answer = post(caller, b'{"a":"' + b"x" * 2**20 + b'"}')
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    assert "1048576" in answer.json()["detail"]


@pytest.mark.parametrize("page", ["account_signup", "account_login", "web:profile"])
def test_forms_with_too_many_fields_or_bytes_are_refused_in_words(page: str) -> None:
    client = Client()
    client.force_login(factories.make_user())
    for body in ("&".join(f"f{n}=1" for n in range(2000)), "username=" + "x" * 2**20):
        answer = client.generic(
            "POST", reverse(page), body, content_type="application/x-www-form-urlencoded"
        )
        assert answer.status_code == 413
        assert "This form is too large" in answer.content.decode()


def test_an_address_with_too_many_parameters_is_refused_in_words() -> None:
    answer = Client().get("/?" + "&".join(f"f{n}=1" for n in range(2000)))
    assert answer.status_code in {200, 413}
    answer = Client().get("/api/v1/challenges?" + "&".join(f"f{n}=1" for n in range(2000)))
    assert answer.status_code in {200, 400, 413}


def test_a_foreign_host_is_refused_without_a_page() -> None:
    answer = Client(headers={"host": "elsewhere.example"}).get("/help/")
    assert answer.status_code == 400
