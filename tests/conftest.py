"""What all tests share: servers on first need, an empty cache, quick passwords."""

from __future__ import annotations

import os
from typing import Any

import hypothesis
import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.utils import timezone, translation

from challenge import embedded
from challenge.models import Phase, Team
from challenge.selectors import maintenance_mode
from tests import factories


@pytest.fixture(scope="session")
def running_servers() -> None:
    """The database and the broker, started for this run unless the environment names both.

    Tests with a database have it already; ask for it where the cache or the broker is used alone.
    """
    embedded.connect_if_unset(quick=True)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    running_servers: None, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """pytest-django asks for this before it makes the test database: time to start the servers."""


@pytest.fixture(autouse=True)
def _nothing_left_over(request: pytest.FixtureRequest) -> None:
    """A test that reaches the servers begins with an empty cache."""
    if {"running_servers", "db", "transactional_db"} & set(request.fixturenames):
        request.getfixturevalue("running_servers")
        cache.clear()


@pytest.fixture(autouse=True)
def _no_maintenance(settings: Any) -> None:
    """A test begins with a process that knows of no maintenance and asks nobody about it."""
    settings.MAINTENANCE_CHECK_S = 86_400
    maintenance_mode.remember(None)


@pytest.fixture(autouse=True)
def _nobody_is_looking() -> None:
    """A test begins in no viewer's language or time zone.

    A request leaves its language on the thread that served it, as Django means it to: the next
    request sets its own. Here the next thing on the thread may be a service, which sets none.
    """
    translation.deactivate()
    timezone.deactivate()


@pytest.fixture
def phase(db: None) -> Phase:
    """An open phase of a published challenge, as the factories make it."""
    return factories.make_phase()


@pytest.fixture
def team(phase: Phase) -> Team:
    """A team of one, registered for the phase's challenge."""
    return factories.make_team(phase.challenge, "Alpha")


# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile(
    "any-machine",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
    database=None if os.environ.get("CI") else hypothesis.settings.default.database,
)
hypothesis.settings.load_profile("any-machine")


def pytest_configure() -> None:
    # Argon2 is slow on purpose; what the tests prove does not depend on it.
    # Asked for where it is tested; elsewhere people of tests have a password alone.
    django_settings.SECOND_FACTOR_REQUIRED = False
    django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
