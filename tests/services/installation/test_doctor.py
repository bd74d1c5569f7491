"""``manage.py doctor`` on an installation that is well, and on real faults."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from challenge.embedded.data_folder import ROOT
from challenge.services.installation import examination, host, servers
from challenge.services.installation.findings import Level
from tests import factories
from tests.live_site import free_port
from tests.oidc_server import ProviderProcess, provider_process

__all__ = ["provider_process"]

pytestmark = pytest.mark.django_db


def one(findings: Iterator[Any], part: str) -> tuple[Level, str, str]:
    """The worst finding of ``part``."""
    ranked = sorted(findings, key=lambda found: list(Level).index(found.level))
    found = [finding for finding in ranked if finding.part == part][-1]
    return found.level, found.found, found.advice


@pytest.fixture
def web() -> Iterator[HTTPServer]:
    """A proxy that passes neither host nor scheme on: it redirects to ``url`` or answers 400."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            location = getattr(self.server, "location", "")
            self.send_response(301 if location else 400)
            if location:
                self.send_header("Location", location)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_what_works_is_said_with_its_version_and_the_command_succeeds(
    settings: Settings, tmp_path: Path
) -> None:
    settings.UPLOADS_DIR = tmp_path / "uploads"
    said = io.StringIO()

    call_command("doctor", "--json", "--skip", "site", "--skip", "sweep", stdout=said)

    document = json.loads(said.getvalue())
    assert document["ok"] is True
    found = {finding["part"]: finding["found"] for finding in document["findings"]}
    assert "PostgreSQL" in found["database"]
    assert "Django" in found["versions"]
    assert found["clock"].endswith("s from the database's")
    assert found["broker"].split()[0] in {"Valkey", "Redis"}
    assert found["storage"] == "writes, reads and deletes"
    assert set(examination.CHECKS) - {"site", "sweep"} <= set(found)


def test_servers_that_are_away_are_errors_with_advice_and_no_traceback(tmp_path: Path) -> None:
    nobody = free_port()
    ran = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--skip", "site"],
        cwd=ROOT,
        env=os.environ
        | {
            "DATABASE_URL": f"postgresql://flair@127.0.0.1:{nobody}/flair",
            "REDIS_URL": f"redis://127.0.0.1:{nobody}/0",
            "EMAIL_URL": f"smtp://127.0.0.1:{nobody}",
            "LABELS_DIR": str(tmp_path / "labels"),
            "STORAGE_URL": "file:///proc/nothing/here",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    lines = [line.split(maxsplit=2) for line in ran.stdout.splitlines()]
    errors = {words[1] for words in lines if words[0] == "error"}
    assert {"database", "broker", "mail", "storage", "labels", "disk"} <= errors
    for advice in ("correct DATABASE_URL", "correct REDIS_URL", "Correct EMAIL_URL", "Mount it"):
        assert advice in ran.stdout


def test_a_host_whose_clock_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def database_is_ahead() -> Any:
        return timezone.now() + timedelta(seconds=30)

    monkeypatch.setattr(servers.database_clock, "now", database_is_ahead)

    level, found, advice = one(servers.clock(), "clock")

    assert level is Level.ERROR
    assert found.startswith(("-3", "-29.9"))
    assert "chrony" in advice


def test_labels_that_this_worker_lacks_are_named(settings: Settings, tmp_path: Path) -> None:
    phase = factories.make_phase()
    settings.LABELS_DIR = tmp_path

    level, found, _advice = one(host.labels(), "labels")

    assert level is Level.WARNING
    assert phase.ground_truth is not None
    assert phase.ground_truth.store_name in found
    (tmp_path / phase.ground_truth.store_name).touch()
    assert one(host.labels(), "labels")[0] is Level.OK
    assert one(host.labels(), "isolation")[0] is Level.OK


def test_a_disk_without_room(settings: Settings, tmp_path: Path) -> None:
    settings.UPLOADS_DIR = tmp_path
    settings.UPLOAD_RESERVE_BYTES = 2**60

    level, found, advice = one(host.folders(), "disk")

    assert (level, advice) == (Level.ERROR, "Make room.")
    assert "MiB are needed" in found


def test_a_proxy_that_passes_nothing_on(settings: Settings, web: HTTPServer) -> None:
    settings.SITE_URL = f"http://127.0.0.1:{web.server_port}"
    level, _found, advice = one(servers.proxy(), "site")
    assert (level, "X-Forwarded-Host" in advice) == (Level.ERROR, True)

    web.location = f"{settings.SITE_URL}/"  # type: ignore[attr-defined]
    level, found, advice = one(servers.proxy(), "site")
    assert (level, "redirects to itself" in found) == (Level.ERROR, True)
    assert "X-Forwarded-Proto" in advice


def test_the_provider_of_sign_ins_is_asked_for_what_it_publishes(
    settings: Settings, provider_process: ProviderProcess
) -> None:
    assert one(servers.sign_in(), "sign-in")[:2] == (
        Level.OK,
        "by password alone (OIDC_ISSUER is not set)",
    )
    settings.OIDC_ISSUER = provider_process.url
    level, found, _ = one(servers.sign_in(), "sign-in")
    assert level is Level.OK
    assert found.endswith("/accounts/oidc/callback/")

    provider_process.become(issuer="https://other.example")
    level, found, advice = one(servers.sign_in(), "sign-in")
    assert level is Level.ERROR
    assert "https://other.example" in found
    assert "openid-configuration" in advice

    provider_process.become(date="Mon, 30 Nov 2020 12:00:00 GMT")
    level, found, advice = one(servers.sign_in(), "sign-in")
    assert (level, "clock" in found) == (Level.ERROR, True)

    provider_process.stop()
    level, found, advice = one(servers.sign_in(), "sign-in")
    assert (level, found.startswith("no answer")) == (Level.ERROR, True)
    assert "passwords" in advice
