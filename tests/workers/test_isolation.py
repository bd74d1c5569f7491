"""A worker that cannot lock its decoders in leaves the queue to others, and says so at start."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from challenge.workers import scoring
from scoring.engine.decode import sandbox
from tests.factories import make_phase, make_team, submit

BARE = sandbox.Status(landlock_abi=0, seccomp=True, rlimits=True)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Landlock."""
    monkeypatch.setattr(sandbox, "status", lambda: BARE)
    monkeypatch.delenv(sandbox.ALLOW_VARIABLE, raising=False)


def worker_of(*queues: str) -> Any:
    return SimpleNamespace(app=SimpleNamespace(amqp=SimpleNamespace(
        queues=SimpleNamespace(consume_from=dict.fromkeys(queues))
    )))  # fmt: skip


@pytest.mark.django_db
@pytest.mark.usefixtures("bare")
def test_without_a_layer_nothing_is_claimed(caplog: pytest.LogCaptureFixture) -> None:
    phase = make_phase()
    submission = submit(make_team(phase.challenge), phase)
    with caplog.at_level(logging.CRITICAL, logger="challenge.workers.scoring"):
        assert scoring.score() == 0
    assert submission.evaluations.get().state == "queued"
    assert "no landlock" in caplog.text
    assert f"{sandbox.ALLOW_VARIABLE}=landlock" in caplog.text


def test_the_layers_are_logged_at_start(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="challenge.workers.scoring"):
        scoring.log_isolation(worker_of("scoring", "default"))
    assert str(sandbox.status()) in caplog.text


@pytest.mark.usefixtures("bare")
def test_what_is_missing_is_logged_at_start(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="challenge.workers.scoring"):
        scoring.log_isolation(worker_of("scoring"))
    assert "this worker scores nothing" in caplog.text


@pytest.mark.usefixtures("bare")
def test_a_missing_layer_may_be_allowed_by_name(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(sandbox.ALLOW_VARIABLE, "landlock")
    with caplog.at_level(logging.INFO, logger="challenge.workers.scoring"):
        scoring.log_isolation(worker_of("scoring"))
    assert "isolated by no landlock, seccomp" in caplog.text


@pytest.mark.usefixtures("bare")
def test_a_worker_of_other_queues_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    scoring.log_isolation(worker_of("gpu"))
    assert not caplog.records
