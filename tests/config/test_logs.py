"""One search by a submission's id tells its life; what is sent to Sentry holds no secret."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from challenge.embedded.data_folder import ROOT
from challenge.models import Evaluation, Phase, Submission
from challenge.services.accounts import tokens
from tests import factories
from tests.live_site import LiveSite
from tests.workers.real import Worker, make_real_phase, make_zip

PATCHES = 4
SECRET = "a-password-of-a-person"
FAILS = f"""
import logging, structlog
from django.test import RequestFactory
password = "{SECRET}"
structlog.contextvars.bind_contextvars(submission="0f0f")
try:
    {{}}["nothing"]
except KeyError:
    logging.getLogger("challenge").exception("broke")
import sentry_sdk
sentry_sdk.flush(10)
"""


def lines(*files: Path) -> list[dict[str, Any]]:
    """Every line of the logs that is an object."""
    return [
        json.loads(line)
        for file in files
        for line in file.read_text(errors="replace").splitlines()
        if line.startswith("{")
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("running_servers")
def test_one_search_by_a_submissions_id_tells_its_life(tmp_path: Path) -> None:
    class LoggingWorker(Worker):
        def environment(self) -> dict[str, str]:
            storage = {"STORAGE_URL": f"file://{tmp_path / 'storage'}"}
            return super().environment() | storage | {"LOG_FORMAT": "json"}

    worker = LoggingWorker(tmp_path / "labels")
    phase: Phase = make_real_phase(worker.labels, patches=PATCHES)
    team = factories.make_team(phase.challenge)
    person = team.memberships.get().user
    token = tokens.create(user=person, name="log", scopes=["submit", "read"])[1]
    environment = {"LOG_FORMAT": "json", "BEHIND_PROXY": "1"}
    site = LiveSite(tmp_path, environment=environment)
    worker.start()
    try:
        site.start()
        api, archive = f"{site.url}/api/v1", make_zip(patches=PATCHES)
        head = {"Authorization": f"Bearer {token}", "X-Request-ID": "given-by-the-proxy"}
        tus = head | {"Tus-Resumable": "1.0.0"}
        upload = httpx.post(
            f"{api}/uploads", headers=tus | {"Upload-Length": str(len(archive))}, timeout=60
        ).headers["Location"]
        kind = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        httpx.patch(upload, headers=tus | kind, content=archive, timeout=60)
        facts = {
            "phase": f"{phase.challenge.slug}/{phase.slug}",
            "upload": upload.rstrip("/").rpartition("/")[2],
            "method_name": "log",
        }
        answer = httpx.post(f"{api}/submissions", headers=head, json=facts, timeout=120)
        assert answer.status_code == 201, answer.text
        assert answer.headers["X-Request-ID"] == "given-by-the-proxy"
        submission = Submission.objects.get()
        worker.wait_until(lambda: Evaluation.objects.get().state == "scored", "the score")
        httpx.get(f"{site.url}/submissions/{submission.pk}/", timeout=60)
        httpx.get(f"{site.url}/livez", timeout=60, headers={"X-Request-ID": "bad id"})
    finally:
        site.stop()
        worker.stop()

    everything = lines(site.log, worker.log)
    mine = [line for line in everything if str(submission.pk) in json.dumps(line)]
    told = [line["event"] for line in mine]
    evaluation = Evaluation.objects.get()
    life = ["new to queued", "queued to scoring", "scoring to scored"]
    assert [event for event in told if event in life] == life
    assert [event for event in told if event.startswith("the scorer, process")]
    queued, *_ = [line for line in mine if line["event"] == "new to queued"]
    assert queued["request"] == "given-by-the-proxy"
    scored = next(line for line in mine if line["event"] == "scoring to scored")
    assert (scored["evaluation"], scored["attempt"]) == (evaluation.pk, 1)
    assert scored["celery_task"] == "scoring.score"
    access = [line for line in everything if line["logger"] == "challenge.access"]
    posted = next(line for line in access if line["route"].endswith("submissions"))
    assert (posted["method"], posted["status"]) == ("POST", 201)
    assert [line for line in access if line.get("submission") == str(submission.pk)]
    assert not [line for line in access if line["route"] in {"livez", "healthz"}]
    assert token not in site.log.read_text()


@pytest.fixture
def sentry() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a server of Sentry's kind, and the events that it was sent."""
    events: list[dict[str, Any]] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            for line in body.splitlines():
                item = json.loads(line)
                if "exception" in item:
                    events.append(item)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://key@127.0.0.1:{server.server_port}/1", events
    server.shutdown()
    server.server_close()


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "--command", script],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_error_is_sent_without_values_where_an_address_is_set(
    sentry: tuple[str, list[dict[str, Any]]],
) -> None:
    address, events = sentry

    ran = run(FAILS, SENTRY_DSN=address)

    assert ran.returncode == 0, ran.stderr
    (event,) = events
    assert event["exception"]["values"][0]["type"] == "KeyError"
    assert event["tags"]["submission"] == "0f0f"
    assert SECRET not in json.dumps(event)
    assert "user" not in event


def test_nothing_is_imported_without_an_address_and_a_wrong_one_is_named() -> None:
    script = "import sys; print('sentry_sdk' in sys.modules)"
    assert run(script).stdout.strip() == "False"
    assert "SENTRY_DSN: is no address of a project" in run(script, SENTRY_DSN="nonsense").stderr
