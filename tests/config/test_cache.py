"""The cache: nothing that is found in it runs, and nothing depends on its being there."""

from __future__ import annotations

import io
import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings as site_settings
from django.contrib.sessions.backends import db as database_sessions
from django.core.cache import cache, caches
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django import Settings

from challenge.config import cache as site_cache
from challenge.errors import Refusal
from challenge.services import throttles
from tests import factories
from tests.cache_server import CacheServer
from tests.permissions.test_table import read_table
from tests.permissions.world import ROLES, address, body_for, make_world, routes, visitor

WAYS = ("stopped", "frozen", "full")
RAN: list[str] = []


@pytest.fixture
def server(tmp_path: Path, settings: Settings) -> Iterator[CacheServer]:
    """A server of the test's own, which the site uses as its cache."""
    started = CacheServer(tmp_path)
    settings.CACHES = {
        "default": settings.CACHES["default"]
        | {"LOCATION": started.url, "OPTIONS": {"timeout_s": 1}}
    }
    yield started
    started.close()


@pytest.fixture(params=WAYS)
def away(request: pytest.FixtureRequest, server: CacheServer) -> str:
    """How the site's cache fails from now on."""
    how = str(request.param)
    server.fail(how)
    return how


class Intruder:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (RAN.append, ("code of a stranger ran",))


def stored_name(key: str) -> str:
    return str(cache.make_key(key))


def test_a_pickle_in_the_cache_is_a_miss_and_does_not_run(server: CacheServer) -> None:
    RAN.clear()
    server.client.set(stored_name("menu-items"), pickle.dumps(Intruder()))

    assert cache.get("menu-items") is None
    assert cache.get_many(["menu-items"]) == {}
    assert RAN == []


@pytest.mark.parametrize("value", [["Oak", 1.5, None, {"a": True}], "text", b"\x00bytes", 7, -3])
def test_values_come_back_as_they_were(server: CacheServer, value: object) -> None:
    cache.set("here", value, 60)

    assert cache.get("here") == value
    assert cache.get_many(["here"]) == {"here": value}


def test_only_what_json_can_say_is_kept(server: CacheServer) -> None:
    with pytest.raises(TypeError):
        cache.set("here", io.StringIO(), 60)


def test_a_value_is_bound_to_its_key_and_to_the_secret_key(
    server: CacheServer, settings: Settings
) -> None:
    cache.set("mine", "a table", 60)
    sealed = server.client.get(stored_name("mine"))
    server.client.set(stored_name("other"), sealed)
    assert cache.get("other") is None

    settings.SECRET_KEY = "another secret"
    assert cache.get("mine") is None


def test_counters_stay_numbers_of_the_server(server: CacheServer) -> None:
    assert cache.add("count", 0, timeout=60)
    assert not cache.add("count", 0, timeout=60)
    assert cache.incr("count") == 1
    assert server.client.get(stored_name("count")) == b"1"


def test_sessions_are_in_the_database_and_not_in_the_cache(
    server: CacheServer, client: Client, db: None
) -> None:
    client.force_login(factories.make_user())
    client.get(reverse("web:home"))

    session = client.session
    assert isinstance(session, database_sessions.SessionStore)
    assert session.session_key is not None
    assert not list(server.client.scan_iter(f"*{session.session_key}*"))


@pytest.mark.django_db
def test_who_signs_out_while_the_cache_is_away_stays_signed_out(
    server: CacheServer, client: Client
) -> None:
    """The cached session would have come back with the cache."""
    client.force_login(factories.make_user())
    client.get(reverse("web:profile"))
    cookie = client.cookies["sessionid"].value
    server.freeze()
    client.post(reverse("account_logout"))
    server.thaw()
    caches["default"].availability.succeeded()

    stolen = Client()
    stolen.cookies["sessionid"] = cookie
    assert stolen.get(reverse("web:profile")).status_code == 302


@pytest.mark.django_db
def test_every_address_answers_as_always_while_the_cache_is_away(away: str) -> None:
    world = make_world()
    expected = read_table()
    wrong = []
    for role in ("anonymous", "captain", "organiser"):
        person = visitor(role, world)
        for method, route in routes():
            if role != "captain" and method != "GET":
                continue
            found = person.ask(method, address(route, world), body_for(method, route, world))
            if found.status_code != expected[method, route][ROLES.index(role)]:
                wrong.append(f"{role}: {method} {route}: {found.status_code}")
    assert wrong == []


@pytest.mark.django_db
def test_people_sign_up_log_in_and_out_while_the_cache_is_away(away: str, client: Client) -> None:
    user = factories.make_user(is_superuser=True)
    user.set_password("an old oak of Larche")
    user.save()
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    for name in ("account_login", "account_signup", "account_reset_password"):
        assert client.get(reverse(name)).status_code == 200
    fields = {"email": "new@example.org", "username": "newcomer"}
    fields |= {"password1": "an old oak of Larche", "password2": "an old oak of Larche"}
    assert client.post(reverse("account_signup"), fields).status_code == 302
    assert client.post(reverse("account_reset_password"), {"email": user.email}).status_code == 302
    login = {"login": user.email, "password": "an old oak of Larche"}
    assert client.post(reverse("account_login"), login).status_code == 302
    assert client.get(reverse("web:profile")).status_code == 200
    assert client.get(reverse("admin:index")).status_code == 200
    assert client.post(reverse("account_logout")).status_code == 302


@pytest.mark.django_db
def test_health_says_that_the_cache_is_away_and_that_the_site_is_well(
    away: str, client: Client
) -> None:
    answer = client.get("/healthz")

    assert (answer.status_code, answer.content) == (200, b"ok\ncache: away\n")


@pytest.mark.django_db
def test_passwords_cannot_be_guessed_freely_while_the_cache_is_away(
    away: str, client: Client
) -> None:
    user = factories.make_user()
    texts = []
    for _ in range(8):
        wrong = {"login": user.email, "password": "guess"}
        texts.append(client.post(reverse("account_login"), wrong).content.decode())

    assert "Too many failed log-ins" in texts[-1]


def test_rate_limits_hold_in_each_process_while_the_cache_is_away(away: str) -> None:
    request = RequestFactory().get("/", REMOTE_ADDR=f"192.0.2.{WAYS.index(away)}")
    for _ in range(site_settings.API_RATE_WRONG_TOKEN):
        throttles.check_failed_login(request)
    with pytest.raises(Refusal):
        throttles.check_failed_login(request)


def test_a_cache_that_is_away_is_asked_and_logged_seldom(
    server: CacheServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = site_cache.SealedClient.get

    def count(self: site_cache.SealedClient, key: Any, default: Any) -> Any:
        asked.append(key)
        return ask(self, key, default)

    monkeypatch.setattr(site_cache.SealedClient, "get", count)
    monkeypatch.setattr(site_cache, "PAUSE_S", 1000)
    server.stop()
    with caplog.at_level(logging.WARNING):
        for number in range(50):
            assert cache.get(f"key-{number}") is None

    assert len(asked) == 1
    assert len([line for line in caplog.records if "the cache is away" in line.message]) == 1


def test_it_is_used_again_once_it_is_back(
    server: CacheServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_cache, "PAUSE_S", 0)
    server.stop()
    cache.set("key", "kept here meanwhile", 60)
    assert cache.get("key") == "kept here meanwhile"
    server.start()
    cache.set("key", "kept there", 60)

    assert server.client.exists(stored_name("key"))
    assert cache.get("key") == "kept there"
    assert caches["default"].availability.error == ""


def test_a_server_that_wants_a_password_counts_as_away(server: CacheServer) -> None:
    server.client.config_set("requirepass", os.urandom(8).hex())

    cache.set("key", "value", 60)
    assert cache.get("key") == "value"
    assert "Authentication" in caches["default"].availability.error
