"""Messages are hints to workers: without the broker, or with one lost, nothing is lost."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from importlib import import_module

import pytest
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

from challenge.config.celery import app
from challenge.embedded.data_folder import ROOT
from challenge.models import Phase, RankLine, Score
from challenge.services import maintenance, task_queue
from challenge.services.notifications import webhooks
from challenge.services.submissions import evaluations
from challenge.services.task_queue import Queue, TaskName
from tests.factories import (
    NOON,
    captain_of,
    give_score,
    make_card,
    make_team,
    submit,
)

pytestmark = pytest.mark.django_db(transaction=True)
HOOK_URL = "https://93.184.215.14/hook"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The task names that are sent, in place of a broker."""
    names: list[str] = []
    monkeypatch.setattr(
        current_app, "send_task", lambda name, **options: names.append(name), raising=True
    )
    return names


def registered() -> set[str]:
    """The task names that workers know, as their settings import them."""
    for module in settings.CELERY_IMPORTS:
        import_module(module)
    return set(app.tasks)


def score_all() -> int:
    done = 0
    while claim := evaluations.claim(worker="w", now=NOON):
        evaluations.complete_scored(
            claim.evaluation_id, attempt=claim.attempt, card=make_card(), now=NOON
        )
        done += 1
    return done


def test_a_submission_notifies_workers_once_it_is_committed(phase: Phase, sent: list[str]) -> None:
    submit(make_team(phase.challenge), phase)
    assert sent == ["scoring.score"]


def test_with_the_broker_down_at_commit_the_submission_stands(
    phase: Phase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unreachable(name: str, **options: object) -> None:
        with app.connection("redis://127.0.0.1:1/0", connect_timeout=1) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=1)

    monkeypatch.setattr(current_app, "send_task", unreachable)
    with pytest.raises(OperationalError):
        unreachable("x")
    with caplog.at_level(logging.WARNING):
        submission = submit(make_team(phase.challenge), phase)
    assert "broker unreachable" in caplog.text
    assert submission.evaluations.get().state == "queued"
    assert score_all() == 1
    assert Score.objects.count() == 1


def test_the_sweep_sends_a_lost_message_again(phase: Phase, sent: list[str]) -> None:
    submit(make_team(phase.challenge), phase)
    sent.clear()
    assert evaluations.sweep(now=NOON).waiting == 1
    assert sent == ["scoring.score"]
    assert score_all() == 1
    sent.clear()
    assert evaluations.sweep(now=NOON).waiting == 0
    assert sent == []
    assert Score.objects.count() == 1


def test_a_message_delivered_twice_scores_once(phase: Phase, sent: list[str]) -> None:
    submit(make_team(phase.challenge), phase)
    assert [score_all(), score_all()] == [1, 0]
    assert Score.objects.count() == 1


def test_one_message_drains_the_whole_queue(phase: Phase, sent: list[str]) -> None:
    for _ in range(3):
        submit(make_team(phase.challenge), phase)
    assert score_all() == 3


@pytest.mark.parametrize("name", list(TaskName))
def test_every_task_name_is_registered_by_a_worker(name: TaskName) -> None:
    assert name.value in registered()


def test_workers_register_no_other_task_name() -> None:
    assert {name for name in registered() if not name.startswith("celery.")} == set(TaskName)


def test_settings_route_every_task_to_its_queue() -> None:
    routes = {name: route["queue"] for name, route in settings.CELERY_TASK_ROUTES.items()}
    assert routes == {
        "scoring.score": "scoring",
        "scoring.rescore": "scoring",
        "scoring.compare_pixels": "scoring",
        "scoring.draw_pictures": "scoring",
        "scoring.draw_gallery": "scoring",
        "scoring.reveal": "scoring",
        "baselines.train": "gpu",
        "challenge.send_mail": "default",
        "challenge.deliver_webhooks": "default",
        "scoring.sweep": "default",
        "challenge.sweep_files": "default",
        "scoring.sweep_evidence": "scoring",
        "labels.install": "labels",
        "labels.distribute": "labels",
    }


def test_the_workers_of_docker_compose_consume_every_queue() -> None:
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    consumed = re.findall(r'--queues, "?([a-z,]+)', compose)
    assert {queue for queues in consumed for queue in queues.strip(",").split(",")} == set(Queue)


def test_celery_beat_sends_the_sweeps() -> None:
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert scheduled == {
        "scoring.sweep",
        "challenge.sweep_files",
        "scoring.sweep_evidence",
        "labels.distribute",
    }


def test_the_sweep_of_evaluations_leaves_ranks_mails_and_webhooks_alone(
    phase: Phase, sent: list[str]
) -> None:
    team = make_team(phase.challenge)
    hook = webhooks.create(user=captain_of(team), url=HOOK_URL, events=["submission.scored"])
    webhooks.ping(webhook=hook, now=NOON)
    give_score(submit(team, phase, mail_on_result=True), 0.5)
    RankLine.objects.all().delete()
    sent.clear()
    later = NOON + timedelta(minutes=1)
    evaluations.sweep(now=later)
    assert (sent, RankLine.objects.count()) == ([], 0)
    assert maintenance.sweep(now=later).phases_ranked == [phase]
    assert RankLine.objects.count() == 1
    assert sorted(sent) == ["challenge.deliver_webhooks", "challenge.send_mail"]


def test_sending_a_task_returns_whether_the_broker_took_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(current_app, "send_task", refuse)
    assert not task_queue.send_task(TaskName.SCORE)
