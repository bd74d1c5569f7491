"""Rounded values are stored with the score, once, also for what was there before."""

from __future__ import annotations

import importlib

import pytest
from django.apps import apps
from django.db import connection

from challenge.models import GroundTruth, Phase, Score, TrainingRun
from challenge.rules.disclosure import Viewer
from challenge.selectors import phase_disclosure, training
from tests.factories import NOON, give_score, make_phase, make_team, submit

pytestmark = pytest.mark.django_db


def test_a_ground_truth_without_steps_gets_them_from_its_first_score() -> None:
    phase = make_phase(miou_step=None)
    GroundTruth.objects.update(steps={})
    score = give_score(submit(make_team(phase.challenge), phase), 0.4)
    truth = GroundTruth.objects.get()
    assert truth.steps["miou"] == Phase.objects.get().miou_step
    first = truth.steps
    assert score.rounded_miou in (0.4, 0.5)
    give_score(submit(make_team(phase.challenge), phase), 0.8)
    assert GroundTruth.objects.get().steps == first


def test_the_same_predictions_show_the_same_value_again() -> None:
    phase = make_phase()
    scores = [give_score(submit(make_team(phase.challenge), phase), 0.123456789) for _ in range(3)]
    assert len({score.rounded_miou for score in scores}) == 1


def test_the_migration_rounds_the_scores_that_are_there() -> None:
    phase = make_phase()
    give_score(submit(make_team(phase.challenge), phase), 0.123456789)
    Score.objects.update(rounded={}, rounded_miou=None)
    GroundTruth.objects.update(steps={}, rounding_key="00" * 32)
    Phase.objects.update(miou_step=None)
    migration = importlib.import_module("challenge.migrations.0007_disclosed_values")
    with connection.schema_editor() as editor:
        migration.fill(apps, editor)
    truth, score = GroundTruth.objects.get(), Score.objects.get()
    assert truth.rounding_key != "00" * 32
    assert truth.steps
    assert score.rounded_miou == score.rounded["miou"] is not None
    assert Phase.objects.get().miou_step == truth.steps["miou"]


def test_two_phases_on_the_same_labels_show_full_values_after_both() -> None:
    phase = make_phase()
    phase.closes_at = NOON
    phase.labels_open_until = NOON.replace(year=2027)
    policy = phase_disclosure.policy_for(phase, viewer=Viewer.ORGANISER, now=NOON)
    assert policy.rounded
    later = phase_disclosure.policy_for(
        phase, viewer=Viewer.READER, now=NOON.replace(year=2027, month=6)
    )
    assert not later.rounded


def test_training_pages_show_organisers_no_finer_value() -> None:
    phase = make_phase()
    submission = submit(make_team(phase.challenge), phase)
    give_score(submission, 0.123456789)
    run = TrainingRun(phase=phase, submission=submission)
    phase.closes_at = None
    assert list(training.scored_mious([run]).values()) == [0.123]
