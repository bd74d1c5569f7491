"""Maintenance: everything is readable, nobody but operators writes, workers take nothing new."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.management import CommandError as WrongUse
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from challenge import services
from challenge.models import (
    AuditEvent,
    Evaluation,
    MaintenancePeriod,
    Phase,
    Submission,
    Team,
    Upload,
)
from challenge.models.jobs import LeasedJob
from challenge.selectors import maintenance_mode, operations
from challenge.services import database_clock
from challenge.services import maintenance_mode as service
from challenge.services.accounts import tokens
from challenge.services.leased_jobs import LeasedJobs
from challenge.services.submissions import evaluations
from scoring.client import tus
from scoring.client.api import Api
from scoring.client.credentials import Account
from scoring.client.errors import CommandError, Exit
from tests import factories
from tests.factories import captain_of, make_archive, make_team, submit
from tests.helpers import wait_until
from tests.live_site import LiveSite
from tests.workers.real import Worker, make_real_phase, make_zip

PATCHES = 600
TUS = {"Tus-Resumable": "1.0.0"}
for found in pkgutil.walk_packages(services.__path__, f"{services.__name__}."):
    import_module(found.name)
KINDS = sorted(LeasedJobs.__subclasses__(), key=lambda kind: kind.__name__)


class QuickWorker(Worker):
    """A scoring worker that knows of maintenance after a second, as the site and the command."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"MAINTENANCE_CHECK_S": "1"}


@pytest.fixture
def period(db: None) -> Iterator[maintenance_mode.Maintenance]:
    """Maintenance that is announced for an hour, in this process."""
    yield service.begin(until=timezone.now() + timedelta(hours=1))
    maintenance_mode.remember(None)


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_pages_are_read_and_say_until_when(
    phase: Phase, period: maintenance_mode.Maintenance
) -> None:
    shown = Client().get("/").content.decode()

    assert "Maintenance until about <time" in shown
    assert period.until is not None
    assert f'datetime="{period.until:%Y-%m-%dT%H:%M}' in shown


def test_what_writes_is_refused_with_words_and_a_time_to_wait(
    phase: Phase, period: maintenance_mode.Maintenance
) -> None:
    client = signed_in(factories.make_user())
    client.cookies["django_language"] = "fr"
    page = client.post(f"/challenges/{phase.challenge.slug}/join/", {"accept": "on"})

    assert page.status_code == 503
    assert 3500 < int(page["Retry-After"]) <= 3600
    assert page["Cache-Control"] == "no-store"
    assert "Pas pendant la maintenance" in page.content.decode()
    secret = tokens.create(user=factories.make_user(), name="script", scopes=["submit"])[1]
    headers = {"Authorization": f"Bearer {secret}"}
    problem = client.post("/api/v1/submissions", {}, "application/json", headers=headers)
    assert (problem.status_code, problem.json()["code"]) == (503, "maintenance")
    assert problem["Content-Type"].startswith("application/problem+json")
    assert 3500 < int(problem["Retry-After"]) <= 3600
    created = client.post("/api/v1/uploads", headers=headers | TUS | {"Upload-Length": "5"})
    assert (created.status_code, created.json()["code"]) == (503, "maintenance")
    assert not Upload.objects.exists()


def test_people_still_sign_in_and_operators_write(
    phase: Phase, period: maintenance_mode.Maintenance
) -> None:
    operator = factories.make_user(is_superuser=True, is_staff=True)
    wrong = {"login": "x@example.org", "password": "y"}
    assert Client().post("/accounts/login/", wrong).status_code == 200
    assert Client().post("/accounts/signup/", {"email": "x@example.org"}).status_code == 503
    assert Client().post("/preferences/", {"theme": "dark"}).status_code == 302
    assert Client().post("/no/such/page/").status_code == 404
    slug = phase.challenge.slug
    assert signed_in(operator).post(f"/challenges/{slug}/desk/people/", {}).status_code != 503


def test_a_form_that_waits_for_a_password_is_not_carried_out(phase: Phase, team: Team) -> None:
    """Who signs in again for a form has allauth answer it at once, past every middleware."""
    service.begin()
    client = Client()
    client.force_login(captain_of(team))
    for name in ("account_reauthenticate", "mfa_reauthenticate"):
        assert client.post(reverse(name), {"password": "x"}).status_code == 503


def test_a_period_that_is_late_no_longer_names_its_end(db: None) -> None:
    service.begin(until=timezone.now() - timedelta(minutes=1))

    refusal = service.refusal(maintenance_mode.current())

    assert "until" not in refusal.params
    assert refusal.params["retry_after_s"] == maintenance_mode.RETRY_MIN_S
    assert "for now" in Client().get("/").content.decode()


def test_nothing_is_claimed_meanwhile(phase: Phase, team: Team) -> None:
    submit(team, phase, at=phase.opens_at)
    service.begin()
    assert evaluations.claim(worker="w") is None
    service.end()
    assert evaluations.claim(worker="w") is not None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_kind_of_job_is_claimed_meanwhile(db: None, kind: Any) -> None:
    """Rows are looked for when there is no maintenance, and not when there is."""
    assert len(KINDS) == len(LeasedJob.__subclasses__())
    module = import_module(kind.__module__)
    wanted = inspect.signature(module.claim).parameters.values()
    given: dict[str, Any] = {
        one.name: [] for one in wanted if one.default is inspect.Parameter.empty
    }

    def looks() -> bool:
        with CaptureQueriesContext(connection) as found:
            assert module.claim(**given | {"worker": "w"}) is None
        return any("FOR UPDATE" in query["sql"] for query in found)

    assert looks()
    service.begin()
    assert not looks()


def test_a_lost_worker_s_jobs_do_not_run(phase: Phase, team: Team) -> None:
    submit(team, phase, at=phase.opens_at)
    assert evaluations.claim(worker="w") is not None
    assert operations.running_jobs() == 1
    Evaluation.objects.update(lease_until=database_clock.now() - timedelta(seconds=1))
    assert operations.running_jobs() == 0


def test_the_command_begins_once_says_what_closes_and_ends(phase: Phase, settings: Any) -> None:
    settings.MAINTENANCE_CHECK_S = 0
    phase.closes_at = timezone.now() + timedelta(minutes=10)
    phase.save()
    said, warned = StringIO(), StringIO()
    call_command("maintenance", "on", until="30", stdout=said, stderr=warned)
    call_command("maintenance", "on", until="60", wait=0.1, stdout=said, stderr=warned)
    assert MaintenancePeriod.objects.count() == 1
    assert f"{phase.challenge.slug}/{phase.slug} closes meanwhile" in warned.getvalue()
    assert "nothing runs any more" in said.getvalue()
    call_command("maintenance", "off", stdout=said)
    call_command("maintenance", "off", stdout=said)
    assert said.getvalue().endswith("maintenance is over\nthere was no maintenance\n")
    acts = list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))
    assert acts == ["maintenance.begin", "maintenance.announce", "maintenance.end"]


@pytest.mark.parametrize("until", ["yesterday", "2020-01-01T00:00Z", "2999-01-01T00:00", "0"])
def test_the_command_refuses_an_end_that_is_none(db: None, until: str) -> None:
    with pytest.raises(WrongUse, match="allowed are a moment to come"):
        call_command("maintenance", "on", until=until)
    assert not MaintenancePeriod.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_site_and_a_worker_go_by_it(tmp_path: Path, running_servers: None, settings: Any) -> None:
    """Real processes: what runs is finished, what waits stays, and goes on afterwards."""
    settings.MAINTENANCE_CHECK_S = 1
    worker = QuickWorker(tmp_path / "labels")
    phase = make_real_phase(worker.labels, patches=PATCHES)
    archive = make_zip(patches=PATCHES)
    teams = [make_team(phase.challenge) for _ in range(2)]
    first = submit(teams[0], phase, archive=make_archive(archive), at=phase.opens_at)
    site = LiveSite(tmp_path, environment={"MAINTENANCE_CHECK_S": "1"})
    token = tokens.create(user=captain_of(teams[1]), name="script", scopes=["submit"])[1]

    def state(submission: Submission) -> str:
        return submission.evaluations.get().state

    def write() -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Upload-Length": "5"} | TUS
        return httpx.post(f"{site.url}/api/v1/uploads", headers=headers, timeout=60)

    try:
        site.start()
        worker.start()
        worker.wait_until(lambda: state(first) != "queued", "the claim")
        call_command("maintenance", "on", until="30", wait=5.0, stdout=StringIO())
        assert state(first) == "scored", worker.log_tail()
        second = submit(teams[1], phase, archive=make_archive(archive), at=phase.opens_at)
        refused = write()
        assert (refused.status_code, refused.json()["code"]) == (503, "maintenance")
        (tmp_path / "predictions.zip").write_bytes(archive)
        with (
            Api(Account(site.url, token)) as api,
            pytest.raises(CommandError, match="maintenance") as told,
        ):  # and not after an hour of trying
            tus.upload(
                tmp_path / "predictions.zip",
                api=api,
                on_progress=lambda _done, _all: None,
                on_cut=lambda _why, _wait_s: pytest.fail("it tries again"),
            )
        assert told.value.exit_code is Exit.UNREACHABLE
        assert "in maintenance until about" in told.value.text("en")
        assert httpx.get(f"{site.url}/livez").status_code == 200
        assert "maintenance: writes are refused" in httpx.get(f"{site.url}/readyz").text
        home = httpx.get(f"{site.url}/", timeout=60)
        assert (home.status_code, "Maintenance until about" in home.text) == (200, True)
        worker.wait_until(
            lambda: (
                "the site is in maintenance: scoring.score does nothing"
                in worker.log.read_text(errors="replace")
            ),
            "a message that the worker leaves",
        )
        assert state(second) == "queued"
        call_command("maintenance", "off", stdout=StringIO())
        wait_until(lambda: write().status_code == 201)
        call_command("sweep", stdout=StringIO())
        worker.wait_until(lambda: state(second) == "scored", "the one that waited")
    finally:
        worker.stop()
        site.stop()
