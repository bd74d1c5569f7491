"""Leases follow the database's clock, whatever a host's own clock says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from challenge.models import Evaluation, Phase
from challenge.services import database_clock, maintenance
from challenge.services.submissions import evaluations
from challenge.services.training import training_runs
from tests.factories import make_team, submit

pytestmark = pytest.mark.django_db


@pytest.fixture
def set_host_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Moves this host's clock."""
    real = timezone.now

    def move(ahead: timedelta) -> None:
        monkeypatch.setattr(timezone, "now", lambda: real() + ahead)

    return move


@pytest.mark.parametrize("minutes", [-90, 90])
def test_no_hosts_clock_takes_a_live_claim(
    phase: Phase, set_host_clock: Callable[[timedelta], None], minutes: int
) -> None:
    submit(make_team(phase.challenge), phase)
    claim = evaluations.claim(worker="w")
    assert claim is not None
    set_host_clock(timedelta(minutes=minutes))
    assert maintenance.sweep().evaluations.requeued == []
    assert evaluations.heartbeat(claim.evaluation_id, attempt=claim.attempt)
    lease = Evaluation.objects.get().lease_until
    assert lease is not None
    assert timedelta(0) < lease - database_clock.now() < timedelta(minutes=5)


@pytest.mark.parametrize("minutes", [-90, 90])
def test_a_lease_that_a_host_with_another_clock_took_ends_in_time(
    phase: Phase, set_host_clock: Callable[[timedelta], None], minutes: int
) -> None:
    submit(make_team(phase.challenge), phase)
    set_host_clock(timedelta(minutes=minutes))
    evaluations.claim(worker="w")
    set_host_clock(timedelta(0))
    assert evaluations.sweep().requeued == []
    later = database_clock.now() + timedelta(minutes=5)
    assert len(evaluations.sweep(now=later).requeued) == 1


def test_training_runs_too(set_host_clock: Callable[[timedelta], None]) -> None:
    training_runs.create(recipe="unet", data_root="toy", actor=None)
    assert training_runs.claim(worker="w") is not None
    set_host_clock(timedelta(minutes=90))
    assert training_runs.sweep().requeued == []
