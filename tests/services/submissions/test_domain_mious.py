"""A score's mIoUs by domain stand in a column of their own, for leaderboards."""

from __future__ import annotations

import importlib

import pytest
from django.db import connection

from challenge.models import Score
from tests.factories import give_score, make_phase, make_team, submit

pytestmark = pytest.mark.django_db
MIGRATION = importlib.import_module("challenge.migrations.0004_score_domain_mious")


def scored(**card: object) -> Score:
    phase = make_phase()
    submission = submit(make_team(phase.challenge), phase)
    give_score(submission, 0.5, **card)
    return Score.objects.get()


def test_a_new_score_has_them() -> None:
    assert scored(domains={"D001_2020": {"miou": 0.25}}).domain_mious == {"D001_2020": 0.25}


@pytest.mark.parametrize(
    ("domains", "wanted"),
    [
        ({"D001_2020": {"miou": 0.25}, "D002_2020": {"miou": None}}, [0.25, None]),
        ({}, []),
        (None, []),
    ],
)
def test_the_migration_fills_them_from_the_card(domains: object, wanted: list[float]) -> None:
    score = scored()
    Score.objects.update(domain_mious={}, card=score.card | {"domains": domains})
    with connection.cursor() as cursor:
        cursor.execute(MIGRATION.FILL)
    score.refresh_from_db()
    assert list(score.domain_mious.values()) == wanted
