"""Long lists of patches come back as they were, and loading them costs next to nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from challenge.models import Challenge, GroundTruth, Phase
from challenge.models.patches import Patches, fold, unfold
from challenge.services.challenges import challenges
from scoring.engine.task.specification import SHIPPED
from tests.challenges import folders

_ids = st.one_of(
    st.integers(0, 12).map(lambda n: f"{n:03d}"),
    st.integers(8, 101).map(str),
    st.sampled_from(["D012-2019_x", "٣", "0099", "1e3", "-1"]),
)
_rows = st.lists(
    st.tuples(_ids, st.sampled_from(["", "D1"]), st.sampled_from(["", "Z1"])).map(list)
)


@given(_rows)
def test_folding_loses_nothing(rows: list[list[str]]) -> None:
    assert unfold(fold(rows)) == rows
    patches = Patches(json.loads(json.dumps(fold(rows))))
    assert list(patches) == rows
    assert len(patches) == len(rows)
    assert patches == rows
    assert bool(patches) == bool(rows)
    assert patches != [*rows, ["999", "", ""]]


@pytest.mark.django_db
def test_it_works_through_the_database(tmp_path: Path) -> None:
    challenges.load(folders.write(tmp_path))
    rows = [["000001", "D002_2021", "Z1_UU"], ["000002", "D002_2021", "Z1_UU"]]
    phase = Phase.objects.get()
    assert phase.public_patches == rows
    assert phase.public_patches[1][0] == "000002"

    GroundTruth.objects.create(
        challenge=Challenge.objects.get(),
        name="test",
        version=1,
        digest="d",
        patch_count=2,
        patches=phase.public_patches,
    )
    assert list(GroundTruth.objects.values_list("patches", flat=True)) == [rows]
    phase.refresh_from_db()
    phase.save()
    assert Phase.objects.get().public_patches == rows


@pytest.mark.django_db
def test_a_plain_list_of_rows_is_read_too(tmp_path: Path) -> None:
    challenges.load(folders.write(tmp_path))
    rows = [["000007", "D1", "Z1"], ["000008", "D1", "Z1"]]
    with connection.cursor() as cursor:
        cursor.execute("update challenge_phase set public_patches = %s", [json.dumps(rows)])
    assert list(Phase.objects.get().public_patches) == rows


@pytest.mark.django_db
def test_a_real_list_is_a_small_column() -> None:
    challenges.load(SHIPPED / "flair-1")
    with connection.cursor() as cursor:
        cursor.execute(
            "select octet_length(public_patches::text) from challenge_phase where slug = 'test'"
        )
        (size_bytes,) = cursor.fetchone()
    assert size_bytes < 15_000
    assert len(Phase.objects.get(slug="test").public_patches) == 15_700
