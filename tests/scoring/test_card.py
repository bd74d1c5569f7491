"""Golden score cards: the same pixels give the same numbers, version after version."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoring.engine import card
from scoring.engine import spec as specs
from scoring.engine.spec import TaskSpec
from scoring.engine.version import ENGINE_VERSION
from tests.scoring import made

GOLDEN = Path(__file__).with_name("golden")
CONTRACT = {
    "spec", "engine_version", "patches", "pixels", "miou", "overall_accuracy", "mean_f1", "classes",
    "confusion", "seconds", "notes", "spec_digest", "truth_digest", "content_digest", "domains",
    "zones", "intervals", "predicted_frequencies",
}  # fmt: skip
CLASS_CONTRACT = {
    "id", "name", "key", "iou", "precision", "recall", "f1", "truth_pixels", "predicted_pixels",
    "scored",
}  # fmt: skip


def _made_card(tmp_path: Path, spec: TaskSpec) -> dict[str, Any]:
    truth = made.masks(spec, count=9, seed=11)
    predicted = made.predictions(spec, truth, seed=12)
    return card.build(made.gathered(tmp_path, spec, truth, predicted))


def made_cards(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """The cards that are compared with the golden ones, by name."""
    tasks = {
        "full-matrix": made.task(),
        "delete-first": made.task(unscored_policy="delete-first", absent_policy="zero"),
        "flair-1": specs.load("flair-1"),
    }
    cards = {name: _made_card(tmp_path, task) for name, task in tasks.items()}
    for document in cards.values():
        del document["spec_digest"]  # limits and ids of a shipped challenge may change freely
    return cards


@pytest.mark.parametrize("name", ["full-matrix", "delete-first", "flair-1"])
def test_the_numbers_are_those_of_the_golden_card(tmp_path: Path, name: str) -> None:
    """Made anew by ``python -m tests.scoring.golden_cards`` after raising ENGINE_VERSION."""
    found = json.loads(json.dumps(made_cards(tmp_path)[name]))
    wanted = json.loads((GOLDEN / f"{name}.json").read_text())
    _same(found, wanted, at=name)


def test_golden_cards_and_version_change_together() -> None:
    """A changed golden card needs a new version; versions.json remembers which went with which."""
    remembered = json.loads((GOLDEN / "versions.json").read_text())
    digest = golden_digest()
    assert remembered.get(ENGINE_VERSION) == digest, "raise ENGINE_VERSION, then make the cards"
    assert len(set(remembered.values())) == len(remembered)


def golden_digest() -> str:
    """One digest of all golden cards, whatever the version that is written in them."""
    whole = hashlib.sha256()
    for path in sorted(GOLDEN.glob("*.json")):
        if path.name != "versions.json":
            document = json.loads(path.read_text())
            del document["engine_version"]
            whole.update(json.dumps(document, sort_keys=True).encode())
    return whole.hexdigest()


def test_the_contract(tmp_path: Path) -> None:
    document = _made_card(tmp_path, made.task())
    assert set(document) == CONTRACT
    assert {frozenset(c) for c in document["classes"]} == {frozenset(CLASS_CONTRACT)}
    json.dumps(document, allow_nan=False)
    assert np.shape(document["confusion"]) == (4, 4)
    assert sum(document["predicted_frequencies"]) == pytest.approx(1)


def test_a_perfect_prediction_is_one(tmp_path: Path) -> None:
    spec = made.task()
    truth = made.masks(spec, count=6)
    document = card.build(
        made.gathered(tmp_path, spec, truth, made.predictions(spec, truth, wrong=0))
    )
    assert document["miou"] == document["overall_accuracy"] == document["mean_f1"] == 1.0
    assert document["intervals"]["miou"] is None  # two zones say nothing of a third


def test_all_other_is_zero_and_an_absent_class_null(tmp_path: Path) -> None:
    spec = made.task()
    truth = {i: np.minimum(m, 2).astype(np.uint8) for i, m in made.masks(spec, count=4).items()}
    predicted = {i: np.full_like(m, 3) for i, m in truth.items()}
    document = card.build(made.gathered(tmp_path, spec, truth, predicted))
    assert document["miou"] == 0.0
    assert [c["iou"] for c in document["classes"]] == [0.0, 0.0, None, 0.0]
    assert document["classes"][0]["precision"] is None


def test_no_scored_class_anywhere_has_no_score(tmp_path: Path) -> None:
    spec = made.task()
    truth = {i: np.full_like(m, 5) for i, m in made.masks(spec, count=4).items()}
    predicted = {i: np.full_like(m, 3) for i, m in truth.items()}
    assert card.build(made.gathered(tmp_path, spec, truth, predicted))["miou"] is None


def test_intervals_can_be_left_out(tmp_path: Path) -> None:
    spec = made.task()
    truth = made.masks(spec, count=9)
    found = made.gathered(tmp_path, spec, truth, made.predictions(spec, truth))
    assert card.build(found)["intervals"]["miou"] is not None
    assert card.build(found, resamples=0)["intervals"] == {"miou": None, "classes": [None] * 4}


def _same(found: Any, wanted: Any, *, at: str) -> None:
    """Equal; figures that a processor may round differently, to one part in 10^12."""
    if isinstance(wanted, dict):
        assert sorted(found) == sorted(wanted), at
        for key, value in wanted.items():
            _same(found[key], value, at=f"{at}.{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), at
        for i, value in enumerate(wanted):
            _same(found[i], value, at=f"{at}[{i}]")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-12), at
    else:
        assert found == wanted, at
