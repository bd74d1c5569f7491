"""A seeded platform, tokens for each role, and a client that speaks JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from challenge.models import Challenge, Phase, Submission, Team, User
from challenge.services.accounts import tokens
from tests import factories
from tests.live_site import LiveSite

SCOPES = ["read", "submit", "organise"]


@dataclass
class World:
    """One challenge with an open phase, two teams, an organiser, scored and waiting submissions."""

    challenge: Challenge
    phase: Phase
    team: Team
    rival: Team
    organiser: User
    stranger: User
    scored: Submission
    waiting: Submission
    rivals: Submission

    @property
    def captain(self) -> User:
        return factories.captain_of(self.team)


def build_world() -> World:
    now = timezone.now()
    challenge = factories.make_challenge("abc")
    phase = factories.make_phase(
        challenge, opens_at=now - timedelta(days=2), closes_at=now + timedelta(days=30)
    )
    organiser = factories.make_user("olga")
    factories.make_organiser(challenge, organiser)
    team = factories.make_team(challenge, "Alpha", members=[factories.make_user("ada")])
    rival = factories.make_team(challenge, "=Beta", members=[factories.make_user("bob")])
    scored = factories.submit(team, phase, at=now - timedelta(hours=3))
    factories.give_score(scored, 0.123456789)
    rivals = factories.submit(rival, phase, at=now - timedelta(hours=2), method="+cmd")
    factories.give_score(rivals, 0.5)
    waiting = factories.submit(team, phase, at=now - timedelta(hours=1))
    return World(
        challenge=challenge,
        phase=phase,
        team=team,
        rival=rival,
        organiser=organiser,
        stranger=factories.make_user("sam"),
        scored=scored,
        waiting=waiting,
        rivals=rivals,
    )


@pytest.fixture
def world(db: None) -> World:
    return build_world()


def token_of(user: User, scopes: list[str] | None = None) -> str:
    """A token's plain text."""
    _row, plain = tokens.create(user=user, name="test", scopes=scopes or SCOPES)
    return plain


@dataclass
class Caller:
    """A person with a token at Django's test client."""

    client: Client
    token: str | None

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send JSON; the answer's ``json`` is read where there is any."""
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        content = None if body is None else json.dumps(body)
        return self.client.generic(
            method,
            f"/api/v1{path}",
            data=content or "",
            content_type="application/json",
            headers=headers,
        )

    def get(self, path: str, **headers: str) -> Any:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, {} if body is None else body)


def caller(user: User | None, scopes: list[str] | None = None) -> Caller:
    """A client for a person, or for a reader."""
    return Caller(Client(), token_of(user, scopes) if user else None)


@pytest.fixture
def ada(world: World) -> Caller:
    return caller(world.captain)


@pytest.fixture
def reader(world: World) -> Caller:
    return caller(None)


@pytest.fixture
def olga(world: World) -> Caller:
    return caller(world.organiser)


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[LiveSite]:
    site = LiveSite(tmp_path_factory.mktemp("live-api"))
    yield site
    site.stop()


@pytest.fixture
def site(_server: LiveSite, transactional_db: None) -> LiveSite:
    """The running server; it starts with the first test that asks."""
    return _server.running()
