"""What the pages' tests share: a client that speaks a language, a small world."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from django.test import Client
from playwright.sync_api import Browser

from challenge.models import Phase, Team, User
from tests import factories
from tests.web.browser import chromium

Visit = Callable[..., Client]


@pytest.fixture
def visit() -> Visit:
    """Return a client for a person (or nobody) and a language."""

    def make(user: User | None = None, *, language: str = "en") -> Client:
        client = Client()
        client.cookies["django_language"] = language
        if user is not None:
            client.force_login(user)
        return client

    return make


@pytest.fixture
def phase(db: None) -> Phase:
    """An open phase of a small published challenge with a page of rules."""
    made = factories.make_phase(opens_at=factories.NOON.replace(year=2020), closes_at=None)
    for language, title in (("en", "Rules"), ("fr", "Règlement")):
        made.challenge.pages.create(
            slug="rules", language=language, title=title, markdown="Be kind."
        )
        made.challenge.pages.create(
            slug="overview", language=language, title="Overview", markdown="**Hello.**"
        )
    return made


@pytest.fixture
def team(phase: Phase) -> Team:
    """A team with a captain."""
    return factories.make_team(phase.challenge, "Larch")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium for the tests of one module."""
    with chromium() as launched:
        yield launched
        connection.close()  # Django keeps another one while Playwright's loop runs
