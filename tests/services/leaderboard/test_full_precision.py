"""Once values left in full precision, a phase never opens again on the same labels."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from challenge.errors import Conflict
from challenge.models import GroundTruth, Phase
from challenge.services import maintenance
from challenge.services.challenges import challenges, phases
from challenge.services.challenges.toml_document import FileMistakes
from tests.challenges import folders
from tests.factories import (
    NOON,
    change_phase,
    give_score,
    make_phase,
    make_team,
    make_truth,
    make_user,
    submit,
)

pytestmark = pytest.mark.django_db

CLOSE = NOON + timedelta(days=30)
LATER = CLOSE + timedelta(hours=1)


def reopen(phase: Phase, *, now: datetime, closes_at: datetime | None, **changes: object) -> None:
    actor = make_user(is_superuser=True)
    change_phase(phase, actor, {"closes_at": closes_at, **changes}, now=now)


@pytest.mark.parametrize(
    "changes",
    [
        {"closes_at": LATER + timedelta(days=1)},
        {"closes_at": None},
        {"closes_at": LATER + timedelta(days=9), "opens_at": LATER + timedelta(days=1)},
        {"closes_at": LATER + timedelta(days=1), "precision": "phase-closed"},
    ],
)
@pytest.mark.parametrize("swept", [True, False])
def test_a_disclosed_phase_does_not_open_again(
    phase: Phase, swept: bool, changes: dict[str, datetime]
) -> None:
    give_score(submit(make_team(phase.challenge), phase))
    if swept:
        maintenance.sweep(now=CLOSE)
    with pytest.raises(Conflict, match="in full precision"):
        reopen(phase, now=LATER, **changes)
    phase.refresh_from_db()
    assert phase.closes_at == CLOSE


def test_moving_the_close_into_the_past_is_no_way_around(phase: Phase) -> None:
    reopen(phase, now=LATER, closes_at=CLOSE - timedelta(days=1))
    reopen(phase, now=LATER, closes_at=CLOSE)
    assert GroundTruth.objects.get().full_precision_at == LATER
    # values are rounded again here: what left is out all the same
    Phase.objects.update(precision="labels-closed", labels_open_until=LATER + timedelta(days=9))
    phase.refresh_from_db()
    with pytest.raises(Conflict, match="in full precision"):
        reopen(phase, now=LATER, closes_at=LATER + timedelta(days=1))


def test_a_phase_that_waits_for_a_verdict_may_be_prolonged(phase: Phase) -> None:
    submit(make_team(phase.challenge), phase, at=CLOSE - timedelta(seconds=1))
    reopen(phase, now=LATER, closes_at=LATER + timedelta(days=1))
    assert GroundTruth.objects.get().full_precision_at is None


def test_other_labels_open_it_again(phase: Phase) -> None:
    maintenance.sweep(now=CLOSE)
    phases.publish_truth(phase=phase, actor=None, ground_truth=make_truth(phase.challenge))
    reopen(phase, now=CLOSE - timedelta(seconds=1), closes_at=CLOSE + timedelta(days=1))


def test_public_labels_may_open_again() -> None:
    phase = make_phase(slug="practice", labels_public=True)
    reopen(phase, now=LATER, closes_at=LATER + timedelta(days=1))


def test_loading_a_challenge_does_not_open_it_again(tmp_path: Path) -> None:
    folder = folders.write(tmp_path / "tiny")
    challenges.load(folder)
    phase = Phase.objects.get()
    closed_at = timezone.now() - timedelta(hours=1)
    truth = make_truth(phase.challenge, phase.slug)
    Phase.objects.update(ground_truth=truth, closes_at=closed_at)
    with pytest.raises(FileMistakes, match="in full precision"):
        challenges.load(folder)
    assert Phase.objects.get().closes_at == closed_at


def test_a_new_phase_is_no_way_around(phase: Phase) -> None:
    """Disclosed labels can be published in a phase that is over, in no other."""
    maintenance.sweep(now=CLOSE)
    asked = {"actor": None, "ground_truth": GroundTruth.objects.get()}
    new = make_phase(phase.challenge, "new", truth=False, closes_at=None)
    with pytest.raises(Conflict, match="in full precision"):
        phases.publish_truth(phase=new, **asked, now=LATER)
    new.refresh_from_db()
    assert new.ground_truth is None
    Phase.objects.filter(pk=new.pk).update(closes_at=CLOSE)
    phases.publish_truth(phase=new, **asked, now=LATER)
