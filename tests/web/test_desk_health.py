"""The desk's health page and the public status: what each tells, and to whom."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from challenge.models import Phase
from challenge.rules.roles import Role
from challenge.selectors import health, operations
from challenge.services import scoring_workers
from challenge.services.submissions import evaluations
from challenge.workers import announcing
from tests import factories
from tests.factories import NOON, make_team, submit
from tests.web.browser import open_page
from tests.web.looks import LOOKS, find_faults, sign_in_as

pytestmark = pytest.mark.django_db(transaction=True)
SECRETS = ("machine-7", "/srv/labels", ".truth", "landlock ABI")


@pytest.fixture
def phase() -> Phase:
    cache.clear()
    return factories.make_phase(
        factories.make_challenge(title={"en": "Land cover", "fr": "Occupation du sol"}),
        opens_at=NOON - timedelta(days=2),
        closes_at=timezone.now() + timedelta(days=30),
    )


def fill(phase: Phase) -> None:
    """A worker at a submission of this challenge and one of another, and one that lacks labels."""
    assert phase.ground_truth is not None
    other = factories.make_phase(factories.make_challenge("other"))
    for place, team in ((phase, "Alpha"), (other, "Omega")):
        submit(make_team(place.challenge, team), place)
        assert evaluations.claim(worker="machine-7:12", now=timezone.now())
    submit(make_team(phase.challenge, "Waiting"), phase)
    scoring_workers.announce(
        "celery@machine-7",
        host="machine-7",
        isolation="landlock ABI 6, seccomp, rlimits",
        faults=[],
        label_files=[phase.ground_truth.store_name],
        free_bytes={"labels": 5 << 30, "evidence": 7 << 30},
    )
    scoring_workers.announce(
        "celery@machine-8",
        host="machine-8",
        isolation="",
        faults=["LABELS_DIR /srv/labels is no folder that this worker can read"],
        label_files=[],
        free_bytes={},
    )
    cache.set(operations.LAST_SWEEP_KEY, timezone.now().timestamp(), None)


def page(phase: Phase, role: Role | None = Role.OWNER) -> str:
    client = Client()
    superuser = factories.make_user(is_superuser=True)
    person = superuser if role is None else factories.make_organiser(phase.challenge, role=role)
    client.force_login(person)
    answer = client.get(reverse("web:desk-health", args=[phase.challenge.slug]))
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_desk_names_its_own_and_counts_the_rest(phase: Phase) -> None:
    fill(phase)
    shown = page(phase, Role.OBSERVER)
    assert "Alpha #1" in shown
    assert "Omega" not in shown
    assert "of another challenge" in shown
    assert shown.count("labels are here") == 1
    assert shown.count("labels are missing") == 1
    assert "No isolation: it scores nothing." in shown
    assert "/srv/labels" not in shown
    assert ".truth" not in shown
    assert "/srv/labels" in page(phase, None)


def test_the_public_part_has_counts_and_no_name(phase: Phase) -> None:
    fill(phase)
    shown = Client().get(reverse("web:status")).content.decode()
    for secret in (*SECRETS, "Alpha", "Omega"):
        assert secret not in shown
    found = health.public_status()
    assert (found.waiting, found.running, found.scoring_workers) == (1, 2, 1)
    assert not found.isolated
    assert not found.sweep_late


def test_a_silent_worker_and_a_late_sweep_are_told(phase: Phase) -> None:
    fill(phase)
    later = timezone.now() + timedelta(minutes=10)
    found = health.read(phase.challenge, now=later)
    assert found.sweep_late
    assert not any(worker.present for worker in found.workers)
    assert health.public_status(now=later).scoring_workers == 0


def test_a_worker_says_what_it_has(phase: Phase, tmp_path: Path, settings: object) -> None:
    settings.LABELS_DIR = settings.EVIDENCE_DIR = tmp_path  # type: ignore[attr-defined]
    assert phase.ground_truth is not None
    (tmp_path / phase.ground_truth.store_name).write_bytes(b"")
    announcing.announce("celery@here")
    [worker] = health.read(phase.challenge).workers
    assert worker.present
    assert worker.isolation
    assert worker.faults == []
    assert [one.present for one in worker.labels] == [True]
    assert set(worker.free_bytes) == {"labels", "evidence"}


def test_the_page_takes_few_queries(phase: Phase, django_assert_max_num_queries: object) -> None:
    fill(phase)
    with django_assert_max_num_queries(13):  # type: ignore[operator]
        health.read(phase.challenge)


@pytest.mark.parametrize(("width_px", "language", "theme"), LOOKS)
def test_no_page_has_violations_overflows_or_console_errors(
    live_server: LiveServer,
    browser: Browser,
    phase: Phase,
    width_px: int,
    language: str,
    theme: str,
) -> None:
    fill(phase)
    owner = factories.make_organiser(phase.challenge, factories.make_user("olive"))
    context, shown, complaints = open_page(
        browser, live_server.url, width_px=width_px, language=language, theme=theme
    )
    sign_in_as(owner, context, site=live_server.url)
    faults: list[str] = []
    for address in (
        reverse("web:desk-health", args=[phase.challenge.slug]),
        reverse("web:status"),
        reverse("web:desk", args=[phase.challenge.slug]),
    ):
        shown.goto(address)
        assert shown.locator("html").get_attribute("lang") == language
        faults += find_faults(shown, address, width_px=width_px)
    assert faults == []
    assert complaints == []
    context.close()
