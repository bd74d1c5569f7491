"""Evidence: whatever is re-scored from counts equals scoring the pixels again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoring.engine.metrics import card_builder, evidence, metrics
from scoring.engine.metrics.evidence import Evidence, EvidenceError
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import TaskSpec
from tests.scoring import builders


@pytest.fixture
def spec() -> TaskSpec:
    return builders.task()


def _evidence(tmp_path: Path, spec: TaskSpec, *, count: int = 8) -> tuple[Evidence, Any, Any]:
    truth = builders.masks(spec, count=count)
    predicted = builders.predictions(spec, truth)
    return builders.build_evidence(tmp_path, spec, truth, predicted), truth, predicted


def test_the_card_is_that_of_the_pixels(tmp_path: Path, spec: TaskSpec) -> None:
    found, truth, predicted = _evidence(tmp_path, spec)
    document = card_builder.build(found)
    assert document["confusion"] == builders.confusion_matrix(spec, truth, predicted).tolist()
    assert document["patches"] == 8
    assert document["pixels"] == 8 * 16 * 24


def test_the_order_of_patches_changes_nothing(tmp_path: Path, spec: TaskSpec) -> None:
    truth = builders.masks(spec, count=600)
    predicted = builders.predictions(spec, truth)
    a = builders.build_evidence(tmp_path, spec, truth, predicted)
    b = builders.build_evidence(tmp_path, spec, truth, dict(reversed(list(predicted.items()))))
    for name in ("patch", "cell", "pixels"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.ids == b.ids == tuple(truth)


def test_loading_evidence_gives_the_same_score_card(tmp_path: Path, spec: TaskSpec) -> None:
    found, _, _ = _evidence(tmp_path, spec)
    size = evidence.save(found, tmp_path / "evidence")
    assert size == (tmp_path / "evidence").stat().st_size
    assert card_builder.build(evidence.load(tmp_path / "evidence")) == card_builder.build(found)
    assert card_builder.build(
        evidence.load((tmp_path / "evidence").read_bytes())
    ) == card_builder.build(found)
    assert evidence.load(tmp_path / "evidence").spec == spec


def test_a_subset_is_that_of_its_pixels(tmp_path: Path, spec: TaskSpec) -> None:
    found, truth, predicted = _evidence(tmp_path, spec)
    some = ["002", "003", "008"]
    document = card_builder.build(found, ids=some)
    wanted = builders.confusion_matrix(spec, {i: truth[i] for i in some}, predicted)
    assert document["confusion"] == wanted.tolist()
    assert sorted(document["zones"]) == ["D001_2020/Z1_UN", "D002_2020/Z1_UN"]
    with pytest.raises(EvidenceError, match="1 ids are not in the evidence: 999"):
        card_builder.build(found, ids=["999"])


def test_zones_and_domains_add_up(tmp_path: Path, spec: TaskSpec) -> None:
    found, truth, predicted = _evidence(tmp_path, spec)
    document = card_builder.build(found)
    for part in ("zones", "domains"):
        total = sum(np.array(row["confusion"]) for row in document[part].values())
        assert np.asarray(total).tolist() == document["confusion"]
        assert sum(row["patches"] for row in document[part].values()) == 8
    first = [i for i in truth if builders.patch(i).domain == "D001_2020"]
    wanted = builders.confusion_matrix(spec, {i: truth[i] for i in first}, predicted)
    assert document["domains"]["D001_2020"]["confusion"] == wanted.tolist()
    ious = document["domains"]["D001_2020"]["ious"]
    assert ious == [float(v) for v in metrics.measure(wanted, spec=spec).iou]


@pytest.mark.parametrize(
    "changes", [{"unscored_policy": "delete-first"}, {"absent_policy": "zero"}]
)
def test_another_policy(tmp_path: Path, spec: TaskSpec, changes: dict[str, Any]) -> None:
    found, truth, predicted = _evidence(tmp_path, spec)
    other = builders.task(**changes)
    wanted = metrics.measure(builders.confusion_matrix(spec, truth, predicted), spec=other)
    assert card_builder.build(found, spec=other)["miou"] == float(wanted.miou)


def test_another_reduction_of_labels(tmp_path: Path, spec: TaskSpec) -> None:
    """Label 3 joins "other": its class is merged in the truth and in the predictions."""
    found, truth, predicted = _evidence(tmp_path, spec)
    classes = [
        {"id": 0, "key": "class_0", "labels": [1]},
        {"id": 1, "key": "class_1", "labels": [2]},
        {"id": 2, "key": "other", "labels": [3, 4, 5], "scored": False},
    ]
    merged = builders.task(classes=classes)
    again = {i: np.minimum(p, 2) for i, p in predicted.items()}
    assert (
        card_builder.build(found, spec=merged)["confusion"]
        == builders.confusion_matrix(merged, truth, again).tolist()
    )


def test_a_label_may_move_to_another_class_of_the_truth(tmp_path: Path, spec: TaskSpec) -> None:
    """Of the two labels of "other", 5 is counted as class 0 when nobody predicted "other"."""
    truth = builders.masks(spec, count=3)
    predicted = {i: np.zeros_like(m) for i, m in truth.items()}
    found = builders.build_evidence(tmp_path, spec, truth, predicted)
    classes = [c | {"name": {"en": c["key"]}} for c in spec.to_json()["classes"]]
    classes[0]["labels"], classes[3]["labels"] = [1, 5], [4]
    moved = builders.task(classes=classes)
    assert (
        card_builder.build(found, spec=moved)["confusion"]
        == builders.confusion_matrix(moved, truth, predicted).tolist()
    )


def test_a_predicted_class_cannot_be_split(tmp_path: Path, spec: TaskSpec) -> None:
    found, _, _ = _evidence(tmp_path, spec)
    classes = [{"id": i, "key": f"class_{i}", "labels": [i + 1]} for i in range(5)]
    with pytest.raises(EvidenceError, match="'class_3', which 'made' splits or drops"):
        card_builder.build(found, spec=builders.task(classes=classes))


def test_a_label_that_occurs_cannot_be_dropped(tmp_path: Path, spec: TaskSpec) -> None:
    found, _, _ = _evidence(tmp_path, spec)
    classes = [{"id": i, "key": f"class_{i}", "labels": [i + 1]} for i in range(4)]
    with pytest.raises(EvidenceError, match="label 5 has no class"):
        card_builder.build(found, spec=builders.task(classes=classes))


def test_a_patch_counts_once(tmp_path: Path, spec: TaskSpec) -> None:
    found, _, _ = _evidence(tmp_path, spec)
    from scoring.engine.truth import store

    with store.PackedTruth.open(tmp_path / "truth.pack") as truth:
        builder = evidence.EvidenceBuilder(spec, truth)
        with pytest.raises(ValueError, match="no patch"):
            builder.build(content_digest="")
        counts = np.zeros((5, 4), dtype=np.int64)
        builder.add("001", counts)
        builder.add("002", counts)
        with pytest.raises(ValueError, match="001 was counted twice"):
            builder.add("001", counts)
    assert found.ids[0] == "001"


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"\x93NUMPY", b"{}"])
def test_invalid_evidence_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad").write_bytes(data)
    with pytest.raises(EvidenceError, match="not an evidence file"):
        evidence.load(tmp_path / "bad")


def test_evidence_of_a_full_set_is_small_and_scored_again_in_bounded_time(tmp_path: Path) -> None:
    """15,700 patches with 45 cells each, as real ones have: a few MB, some tenths of a second."""
    spec = specs.load("flair-1")
    rng = np.random.default_rng(0)
    n, cells = len(spec.expected), 45
    found = Evidence(
        spec=spec,
        truth_digest="t",
        content_digest="c",
        label_values=spec.label_values,
        ids=tuple(p.id for p in spec.expected),
        domains=tuple(p.domain for p in spec.expected),
        zones=tuple(f"{p.domain}/{p.zone}" for p in spec.expected),
        patch=np.repeat(np.arange(n, dtype=np.int32), cells),
        cell=np.sort(rng.integers(0, 19 * 13, size=(n, cells)), axis=1).ravel().astype(np.uint16),
        pixels=rng.lognormal(6, 2, size=n * cells).astype(np.uint32) + 1,
    )
    size = evidence.save(found, tmp_path / "evidence")
    assert size < 4_000_000
    started_s = time.process_time()
    document = card_builder.build(evidence.load(tmp_path / "evidence"), spec=spec)
    assert time.process_time() - started_s < 20
    assert document["patches"] == n
    assert document["pixels"] == int(found.pixels.sum(dtype=np.int64))
    assert len(document["zones"]) == 193
