"""The broker is frozen or down: no page needs it, and what was not sent is sent by the sweep."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from challenge.config.celery import app
from challenge.models import Evaluation
from challenge.services import task_queue
from challenge.services.submissions import evaluations
from challenge.services.task_queue import Publisher, TaskName
from tests import factories, tcp_proxy
from tests.helpers import wait_until
from tests.permissions.test_table import read_table
from tests.permissions.world import address, body_for, make_world, routes, visitor
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.django_db(transaction=True)

# How long an attempt to publish may take here: a request that waits for one is found out.
PUBLISH_S = 60.0


@pytest.fixture(params=["frozen", "down"])
def broker(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, transactional_db: None
) -> Iterator[TcpProxy]:
    """A broker that accepts connections and answers nothing, or one that is not there."""
    proxy, url = tcp_proxy.before(str(app.conf.broker_url).replace("redis+socket:", "unix:"))
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    publisher = Publisher()
    monkeypatch.setattr(task_queue, "_publisher", publisher)
    proxy.freeze() if request.param == "frozen" else proxy.refuse()
    yield proxy
    proxy.thaw()
    wait_until(lambda: not publisher.is_busy(), "the last message")
    proxy.close()


@pytest.mark.parametrize("broker", ["frozen"], indirect=True)
@pytest.mark.parametrize("role", ["captain", "organiser"])
def test_no_page_waits_for_the_broker(
    role: str, broker: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_queue, "PUBLISH_S", PUBLISH_S)
    world = make_world()
    person = visitor(role, world)
    expected = read_table()
    wrong = []
    for method, route in routes():
        started_s = time.monotonic()
        answer = person.ask(method, address(route, world), body_for(method, route, world))
        seconds = time.monotonic() - started_s
        if answer.status_code >= 500 or seconds > PUBLISH_S / 2:
            wrong.append(f"{method} {route}: {answer.status_code} in {seconds:.0f} s")
        assert (method, route) in expected
    assert not wrong, "\n".join(wrong)


def test_a_submission_is_accepted_and_found_by_the_sweep(
    broker: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    phase = factories.make_phase(opens_at=timezone.now(), closes_at=None)
    team = factories.make_team(phase.challenge)
    client = Client()
    client.force_login(factories.captain_of(team))
    answer = client.post(
        reverse("web:submit", args=[phase.challenge.slug, phase.slug]),
        {"method_name": "U-Net", "archive": SimpleUploadedFile("p.zip", b"PK")},
    )
    assert answer.status_code == 302
    assert Evaluation.objects.get().state == "queued"
    # Without a publisher, as in a worker: it comes back with False, soon and without an error.
    assert not task_queue.send_task(TaskName.SCORE)
    monkeypatch.delenv("CELERY_BROKER_URL")
    assert evaluations.sweep().waiting == 1
    assert "CELERY_BROKER_URL" not in os.environ
    assert task_queue.send_task(TaskName.SCORE)
