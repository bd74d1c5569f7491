"""A whole challenge exported, and imported into an empty database with byte-equal leaderboards."""

from __future__ import annotations

import copy
import json
import tracemalloc
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from challenge.embedded.data_folder import ROOT
from challenge.models import Evaluation, Phase, Score, Submission, User
from challenge.services.exports import exporting, layout
from challenge.services.exports.exporting import Options
from challenge.services.leaderboard import ranks
from tests.exports.conftest import Edition, Exporter
from tests.exports.elsewhere import import_elsewhere

pytestmark = pytest.mark.django_db(transaction=True)

PHASES = ("test", "next")
ADDRESSES = [
    *(f"/api/v1/challenges/abc/phases/{one}/leaderboard" for one in PHASES),
    *(f"/api/v1/challenges/abc/phases/{one}/leaderboard?format=csv" for one in PHASES),
    *(f"/challenges/abc/{one}/leaderboard.json" for one in PHASES),
    *(f"/challenges/abc/{one}/leaderboard.csv" for one in PHASES),
    "/api/v1/challenges/abc/phases/test/results",
]


def answers() -> dict[str, str]:
    found = {}
    for address in ADDRESSES:
        answer = Client().get(address)
        assert answer.status_code == 200, (address, answer)
        found[address] = answer.content.decode()
    return found


def test_leaderboards_are_byte_equal_in_an_empty_database(
    edition: Edition, export: Exporter, tmp_path: Path
) -> None:
    here = answers()
    assert "Team γ" in json.dumps(json.loads(here[ADDRESSES[0]]), ensure_ascii=False)
    assert json.loads(here[ADDRESSES[0]])["decimals"] is None
    assert json.loads(here[ADDRESSES[1]])["decimals"] == 3
    assert '"extra-places"' in here[ADDRESSES[1]]
    file = export(edition.challenge)
    now = timezone.now()
    there = import_elsewhere(file, ADDRESSES, now=now, folder=tmp_path / "storage")
    assert there["imported"] == here
    for phase in Phase.objects.all():
        ranks.recompute(phase=phase, compare=True, now=now)
    assert there["ranked"] == answers()


def test_the_layout_is_documented() -> None:
    text = (ROOT / "docs" / "challenge-export.md").read_text()
    assert f"Format {layout.FORMAT}." in text
    assert [name for name in (*layout.LINES, layout.MANIFEST) if f"`{name}`" not in text] == []


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as found:
        assert found.testzip() is None
        return {name: found.read(name) for name in found.namelist()}


def test_figures_that_owners_see_rounded_leave_rounded(edition: Edition, export: Exporter) -> None:
    found = members(export(edition.challenge, personal_data=True, archives=True))
    hidden = found["submissions/next.jsonl"]
    assert b'"miou":0.123' in found["submissions/test.jsonl"]
    full = [0.1234567891234 * n + 0.0171717 * t for n in (4, 5, 6) for t in (0, 1)]
    told = b"".join(found.values())
    assert not [value for value in full if f"{value:.7f}"[:8].encode() in told]
    assert b"1234567," not in hidden.replace(b'"truth_pixels":null,', b"")
    for line in hidden.splitlines():
        for one in json.loads(line)["evaluations"]:
            score = one["score"]
            assert score["miou"] is score["miou_low"] is score["card"]["miou"] is None
            assert score["card"]["confusion"] == []
            assert score["rounded"]["miou"] is not None
    for truth in (edition.test.ground_truth, edition.next.ground_truth):
        assert truth is not None
        assert truth.digest.encode() not in told
        assert truth.rounding_key.encode() not in told
        assert truth.commitment_key.encode() not in told
        assert truth.store_name.encode() not in told
    assert edition.owner.password.encode() not in told
    manifest = json.loads(found["manifest.json"])["manifest"]
    assert {"code": "figures-rounded", "phase": "next"} in manifest["left_out"]
    assert {"code": "figures-rounded", "phase": "test"} not in manifest["left_out"]
    assert b"Jane" in told

    told = b"".join(members(export(edition.challenge)).values())
    for user in User.objects.all():
        assert user.email.encode() not in told
        assert f'"{user.username}"'.encode() not in told
    assert b"Jane" not in told
    assert b"power cut" not in told


def test_an_export_is_streamed_with_flat_memory(edition: Edition) -> None:
    score = edition.best.evaluations.get().score
    score.card["notes"] = [{"code": "x", "text": "n" * 40_000}]
    score.card["domains"] = {f"D{n:03}_2020": score.card["domains"]["D001_2020"] for n in range(99)}
    copies = range(150)
    sent = [copied(edition.best, number=100 + n) for n in copies]
    Submission.objects.bulk_create(sent)
    done = [copied(edition.best.evaluations.get(), pk=None, submission=one) for one in sent]
    Evaluation.objects.bulk_create(done)
    for at in copies[::50]:
        Score.objects.bulk_create(
            copied(score, pk=None, evaluation=one) for one in done[at : at + 50]
        )
    export = exporting.prepare(challenge=edition.challenge, actor=None, options=Options())
    tracemalloc.start()
    total = sum(len(part) for part in exporting.stream(export))
    _now, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total > 100_000
    # Ten cards are in memory at a time; all of them would be fifty megabytes.
    assert peak_bytes < 24 << 20


def copied(row: Any, **changes: Any) -> Any:
    made = copy.copy(row)
    made._state = copy.copy(row._state)
    made._state.fields_cache = {}
    if isinstance(made, Submission):
        made.pk = uuid.uuid4()
    for name, value in changes.items():
        setattr(made, name, value)
    return made
