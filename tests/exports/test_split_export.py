"""A phase with private zones: they stay behind until the reveal, then the board is the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from challenge.models import GroundTruth, Phase
from challenge.services.exports import importing
from challenge.services.exports.importing import Options
from scoring.engine.truth.split import CountedZones
from tests.exports.conftest import Exporter
from tests.exports.test_import import read
from tests.factories import make_team
from tests.splits.test_reveal import close, reveal_now
from tests.splits.world import SplitWorld, make_split_world

pytestmark = pytest.mark.django_db(transaction=True)
BOARD = "/api/v1/challenges/tiny/phases/test/leaderboard"


@pytest.fixture
def world(tmp_path: Path, settings: Settings) -> SplitWorld:
    made = make_split_world(tmp_path)
    settings.LABELS_DIR, settings.EVIDENCE_DIR = made.labels_dir, made.evidence_dir
    made.install("--public-share", "0.5", "--split-seed", "7")
    for number, name in enumerate(("Alpha", "Beta"), start=1):
        public, private = (made.ids(zones) for zones in (CountedZones.PUBLIC, CountedZones.PRIVATE))
        wrong_px = dict.fromkeys(public, number) | dict.fromkeys(private, 20 - 5 * number)
        made.submit(make_team(made.phase.challenge, name), wrong_px=wrong_px)
    assert made.score() == 2
    return made


def scores(file: Path) -> list[dict[str, Any]]:
    lines = read(file)["submissions/test.jsonl"].splitlines()
    return [one["score"] for line in lines for one in json.loads(line)["evaluations"]]


def test_private_zones_leave_after_the_reveal_alone(world: SplitWorld, export: Exporter) -> None:
    close(world)
    before = export(world.phase.challenge, "before.zip", personal_data=True)
    assert [(one["counted_zones"], one["miou"]) for one in scores(before)] == [("public", None)] * 2
    assert b'"public_zones":[]' in read(before)["labels.jsonl"]
    nonce = world.split.nonce.encode()
    assert nonce not in b"".join(read(before).values())

    reveal_now(world)
    after = export(world.phase.challenge, personal_data=True)
    told = {one["counted_zones"] for one in scores(after) if one["miou"] is not None}
    assert told == {"public", "private"}
    assert b'"zones"' not in read(after)["submissions/test.jsonl"]
    board = Client().get(BOARD).content
    labels = Client().get("/api/v1/challenges/tiny/phases/test/labels").content
    assert json.loads(board)["rows"][0]["public_rank"] == 2
    call_command("flush", interactive=False, verbosity=0)
    importing.import_challenge(after, options=Options(publish=True))
    assert Client().get(BOARD).content == board
    assert Client().get("/api/v1/challenges/tiny/phases/test/labels").content == labels

    # As it was before: public values rounded, the commitment without what opens it.
    call_command("flush", interactive=False, verbosity=0)
    importing.import_challenge(before)
    truth = GroundTruth.objects.get()
    assert truth.commitment == json.loads(labels)["items"][0]["commitment"]
    assert not truth.digest_is_known
    assert Phase.objects.get().counted_zones == CountedZones.PUBLIC
