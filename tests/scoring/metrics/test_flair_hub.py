"""FLAIR-HUB as nothing but a specification: string ids, 0-based masks, another policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scoring.engine.metrics import card_builder, metrics
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import TaskSpec
from tests.scoring import builders

ID = "D012-2019_AERIAL_LABEL-COSIA_AF-S1-27_5-10"


@pytest.fixture(scope="module")
def spec() -> TaskSpec:
    return specs.load("flair-hub")


def test_masks_and_predictions_are_both_zero_based(spec: TaskSpec) -> None:
    assert spec.label_values == tuple(range(19))
    assert spec.label_table[:19].tolist() == list(range(19))
    assert len(spec.scored_ids) == 15


def test_ids_are_strings(spec: TaskSpec) -> None:
    assert spec.prediction_id(f"PRED_{ID}") == ID
    assert spec.truth_id(ID) == ID
    assert spec.prediction_id("PRED_061946") is None


def test_unscored_rows_and_columns_go_before_the_iou(spec: TaskSpec) -> None:
    matrix = np.zeros((19, 19), dtype=np.int64)
    matrix[0, 0], matrix[0, 18], matrix[18, 0] = 50, 30, 20
    matrix[3, 3], matrix[3, 0] = 10, 10
    found = metrics.measure(matrix, spec=spec)
    assert found.iou[0] == 50 / 60  # the 30 and 20 pixels of "undefined" are gone
    assert found.iou[3] == 10 / 20
    assert np.isnan(found.iou[18])


def test_an_absent_class_counts_zero(spec: TaskSpec) -> None:
    matrix = np.zeros((19, 19), dtype=np.int64)
    matrix[2, 2] = 7
    assert metrics.measure(matrix, spec=spec).miou == pytest.approx(1 / 15)


def test_a_patch_is_scored_from_files_to_card(tmp_path: Path, spec: TaskSpec) -> None:
    rng = np.random.default_rng(0)
    mask = np.kron(rng.integers(0, 19, size=(16, 16)), np.ones((32, 32))).astype(np.uint8)
    prediction = mask.copy()
    prediction[:64] = 3
    builders.write_tiff(tmp_path / "labels" / f"{ID}.tif", mask)
    builders.write_tiff(tmp_path / "predictions" / f"PRED_{ID}.tif", prediction)
    from scoring.engine.metrics import counting, evidence
    from scoring.engine.truth import store

    found = sorted(store.find_masks(tmp_path / "labels", spec=spec))
    store.pack(tmp_path / "labels", tmp_path / "truth", spec=spec, ids=found)
    with store.PackedTruth.open(tmp_path / "truth") as truth:
        builder = evidence.EvidenceBuilder(spec, truth)
        counter = counting.PatchCounter(truth, n_classes=spec.n_classes)
        builder.add(ID, counter.count(ID, prediction).counts)
        document = card_builder.build(builder.build(content_digest=""))
    keep = np.isin(mask, spec.scored_ids) & np.isin(prediction, spec.scored_ids)
    ious = []
    for c in spec.scored_ids:
        both = (keep & (mask == c) & (prediction == c)).sum()
        either = (keep & ((mask == c) | (prediction == c))).sum()
        ious.append(both / either if either else 0.0)
    assert document["miou"] == pytest.approx(np.mean(ious), rel=1e-12)
    assert document["pixels"] == 512 * 512
