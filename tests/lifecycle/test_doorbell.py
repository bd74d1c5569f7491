"""The broker only rings: without it, or with its message lost, nothing is lost."""

from __future__ import annotations

import logging
from importlib import import_module

import pytest
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

from challenge.config.celery import app
from challenge.models import Phase, Score
from challenge.services import dispatch, evaluations
from challenge.services.dispatch import QUEUES, Bell
from tests.factories import NOON, make_card, make_phase, make_team, submit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def phase() -> Phase:
    return make_phase()


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is rung, in place of a broker."""
    found: list[str] = []
    monkeypatch.setattr(
        current_app, "send_task", lambda name, **options: found.append(name), raising=True
    )
    return found


def registered() -> set[str]:
    """The names that workers know, as their settings import them."""
    for module in ("scoring.tasks", "baselines.tasks"):
        import_module(module)
    return set(app.tasks)


def work_off() -> int:
    done = 0
    while claim := evaluations.claim(worker="w", now=NOON):
        evaluations.complete_scored(
            claim.evaluation_id, attempt=claim.attempt, card=make_card(), now=NOON
        )
        done += 1
    return done


def test_an_accepted_submission_rings_once_it_is_committed(phase: Phase, rung: list[str]) -> None:
    submit(make_team(phase.challenge), phase)
    assert rung == ["scoring.score"]


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
    assert work_off() == 1
    assert Score.objects.count() == 1


def test_a_lost_message_is_rung_again_by_the_sweep(phase: Phase, rung: list[str]) -> None:
    submit(make_team(phase.challenge), phase)
    rung.clear()
    assert evaluations.sweep(now=NOON).waiting == 1
    assert rung == ["scoring.score"]
    assert work_off() == 1
    rung.clear()
    assert evaluations.sweep(now=NOON).waiting == 0
    assert rung == []
    assert Score.objects.count() == 1


def test_a_message_delivered_twice_scores_once(phase: Phase, rung: list[str]) -> None:
    submit(make_team(phase.challenge), phase)
    assert [work_off(), work_off()] == [1, 0]
    assert Score.objects.count() == 1


def test_one_ring_drains_the_whole_queue(phase: Phase, rung: list[str]) -> None:
    for _ in range(3):
        submit(make_team(phase.challenge), phase)
    assert work_off() == 3


@pytest.mark.parametrize("bell", list(Bell))
def test_every_name_that_is_sent_is_registered_by_a_worker(bell: Bell) -> None:
    assert bell.value in registered()


def test_every_bell_has_a_queue_that_a_worker_serves() -> None:
    assert set(QUEUES) == set(Bell)
    assert set(QUEUES.values()) <= {"default", "scoring", "gpu"}


def test_what_beat_sends_is_registered() -> None:
    sent = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert {"scoring.sweep", "challenge.sweep_files"} <= sent
    assert sent <= registered()


def test_a_bell_sent_by_hand_says_whether_it_was_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(current_app, "send_task", refuse)
    assert not dispatch.send(Bell.SCORE)
