"""Golden score cards: the same pixels give the same numbers, version after version."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoring.engine.metrics import card, card_builder, jackknife
from scoring.engine.metrics.card import CardError, ScoreCard
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import TaskSpec
from scoring.engine.version import ENGINE_VERSION
from tests.scoring import builders

GOLDEN = Path(__file__).parents[1] / "golden"
CONTRACT = {
    "spec", "engine_version", "patches", "pixels", "miou", "overall_accuracy", "mean_f1", "classes",
    "confusion", "seconds", "notes", "spec_digest", "truth_digest", "content_digest", "domains",
    "zones", "intervals", "predicted_frequencies",
}  # fmt: skip
CLASS_CONTRACT = {
    "id", "name", "key", "iou", "precision", "recall", "f1", "truth_pixels", "predicted_pixels",
    "scored",
}  # fmt: skip


def _made_card(tmp_path: Path, spec: TaskSpec, *, patches: int = 9) -> ScoreCard:
    truth = builders.masks(spec, count=patches, seed=11)
    predicted = builders.predictions(spec, truth, seed=12)
    return card_builder.build(builders.build_evidence(tmp_path, spec, truth, predicted))


def made_cards(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """The cards that are compared with the golden ones, by name."""
    tasks = {
        "full-matrix": builders.task(),
        "delete-first": builders.task(unscored_policy="delete-first", absent_policy="zero"),
        "flair-1": specs.load("flair-1"),
    }
    cards = {name: dict[str, Any](_made_card(tmp_path, task)) for name, task in tasks.items()}
    cards["five-zones"] = dict[str, Any](_made_card(tmp_path, builders.task(), patches=15))
    for document in cards.values():
        del document["spec_digest"]  # limits and ids of a shipped challenge may change freely
    return cards


@pytest.mark.parametrize("name", ["full-matrix", "delete-first", "flair-1", "five-zones"])
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


def test_the_score_card_has_the_documented_keys(tmp_path: Path) -> None:
    document = _made_card(tmp_path, builders.task())
    assert set(document) == CONTRACT
    assert {frozenset(c) for c in document["classes"]} == {frozenset(CLASS_CONTRACT)}
    json.dumps(document, allow_nan=False)
    assert np.shape(document["confusion"]) == (4, 4)
    assert sum(document["predicted_frequencies"]) == pytest.approx(1)


def test_a_card_survives_json_unchanged(tmp_path: Path) -> None:
    built = _made_card(tmp_path, builders.task())
    text = json.dumps(built)
    assert json.dumps(card.from_json(json.loads(text))) == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"miou": "0.5"}, "miou is '0.5', not float"),
        ({"miou": math.nan}, "miou is 'nan', not float"),
        ({"pixels": True}, "pixels is 'True', not int"),
        ({"confusion": [[1, 2.5]]}, r"confusion\[0\]\[1\] is '2.5', not int"),
        ({"classes": [{"id": 0}]}, r"classes\[0\] has no key 'name'"),
        ({"zones": []}, "zones is '\\[\\]', not an object"),
        ({"intervals": None}, "intervals is 'None', not an object"),
    ],
)
def test_an_invalid_score_card_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    document = {**_made_card(tmp_path, builders.task()), **change}
    with pytest.raises(CardError, match=message):
        card.from_json(document)
    with pytest.raises(CardError, match="the document has no key 'spec'"):
        card.from_json({})


def test_a_perfect_prediction_is_one(tmp_path: Path) -> None:
    spec = builders.task()
    truth = builders.masks(spec, count=6)
    document = card_builder.build(
        builders.build_evidence(tmp_path, spec, truth, builders.predictions(spec, truth, wrong=0))
    )
    assert document["miou"] == document["overall_accuracy"] == document["mean_f1"] == 1.0
    assert document["intervals"]["miou"] is None  # two zones say nothing of a third


def test_all_other_is_zero_and_an_absent_class_null(tmp_path: Path) -> None:
    spec = builders.task()
    truth = {i: np.minimum(m, 2).astype(np.uint8) for i, m in builders.masks(spec, count=4).items()}
    predicted = {i: np.full_like(m, 3) for i, m in truth.items()}
    document = card_builder.build(builders.build_evidence(tmp_path, spec, truth, predicted))
    assert document["miou"] == 0.0
    assert [c["iou"] for c in document["classes"]] == [0.0, 0.0, None, 0.0]
    assert document["classes"][0]["precision"] is None


def test_no_scored_class_anywhere_has_no_score(tmp_path: Path) -> None:
    spec = builders.task()
    truth = {i: np.full_like(m, 5) for i, m in builders.masks(spec, count=4).items()}
    predicted = {i: np.full_like(m, 3) for i, m in truth.items()}
    assert (
        card_builder.build(builders.build_evidence(tmp_path, spec, truth, predicted))["miou"]
        is None
    )


def test_intervals_name_their_method(tmp_path: Path) -> None:
    spec = builders.task()
    truth = builders.masks(spec, count=15)
    found = builders.build_evidence(tmp_path, spec, truth, builders.predictions(spec, truth))
    intervals = card_builder.build(found)["intervals"]
    assert intervals["miou"] is not None
    assert intervals["method"] == jackknife.METHOD


def test_cards_of_the_former_version_stay_readable(tmp_path: Path) -> None:
    """They say no method of their intervals."""
    document = dict[str, Any](_made_card(tmp_path, builders.task()))
    del document["intervals"]["method"]
    assert card.from_json(document) is document


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
