"""The ratios, each against two reference implementations: plain Python and scikit-learn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, precision_score, recall_score

from scoring.engine.metrics import metrics
from scoring.engine.task.examples import abc_spec
from scoring.engine.task.specification import TaskSpec
from tests.scoring import builders

EXAMPLE = np.array([[3, 1, 0], [0, 3, 1], [1, 2, 1]], dtype=np.int64)

matrices = hnp.arrays(
    np.int64,
    (4, 4),
    elements=st.one_of(st.just(0), st.integers(0, 40), st.integers(0, 2**42)),
)
policies = st.sampled_from(
    [(u, a) for u in ("full-matrix", "delete-first") for a in ("skip", "zero")]
)


def _spec(policy: tuple[str, str]) -> TaskSpec:
    return builders.task(unscored_policy=policy[0], absent_policy=policy[1])


@pytest.mark.parametrize(
    ("unscored", "absent", "ious", "mean"),
    [
        ("full-matrix", "skip", [3 / 5, 3 / 7, 1 / 5], 0.5143),
        ("full-matrix", "zero", [3 / 5, 3 / 7, 1 / 5], 0.5143),
        ("delete-first", "skip", [3 / 4, 3 / 4, None], 0.75),
        ("delete-first", "zero", [3 / 4, 3 / 4, None], 0.75),
    ],
)
def test_the_worked_example(
    unscored: str, absent: str, ious: list[float | None], mean: float
) -> None:
    spec = abc_spec(unscored_policy=unscored, absent_policy=absent)
    found = metrics.measure(EXAMPLE, spec=spec)
    assert [None if math.isnan(v) else float(v) for v in found.iou] == pytest.approx(ious)
    assert round(float(found.miou), 4) == mean


def test_scoring_all_three_classes_gives_another_mean() -> None:
    classes = [{"id": i, "key": k, "labels": [i + 1]} for i, k in enumerate("abc")]
    found = metrics.measure(EXAMPLE, spec=abc_spec(classes=classes))
    assert round(float(found.miou), 4) == 0.4095


def test_predicting_other_on_a_real_class_and_the_reverse_both_cost() -> None:
    perfect = np.diag([10, 10, 10]).astype(np.int64)
    missed, invented = perfect.copy(), perfect.copy()
    missed[0] = [5, 0, 5]
    invented[2] = [5, 0, 5]
    spec = abc_spec()
    assert metrics.measure(perfect, spec=spec).miou == 1.0
    assert metrics.measure(missed, spec=spec).iou[0] == 5 / 10
    assert metrics.measure(invented, spec=spec).iou[0] == 10 / 15


def test_an_absent_class_is_skipped_or_counts_zero() -> None:
    matrix = np.diag([7, 0, 3]).astype(np.int64)
    skipped = metrics.measure(matrix, spec=abc_spec(absent_policy="skip"))
    zeroed = metrics.measure(matrix, spec=abc_spec(absent_policy="zero"))
    assert (float(skipped.miou), float(zeroed.miou)) == (1.0, 0.5)
    assert math.isnan(skipped.iou[1])
    assert zeroed.iou[1] == 0.0


def test_a_class_that_is_only_predicted_is_not_absent() -> None:
    matrix = np.array([[6, 1, 0], [0, 0, 0], [0, 0, 0]], dtype=np.int64)
    assert metrics.measure(matrix, spec=abc_spec()).miou == pytest.approx((6 / 7 + 0) / 2)


def test_nothing_scored_at_all_is_not_a_number() -> None:
    only_other = np.diag([0, 0, 9]).astype(np.int64)
    assert math.isnan(metrics.measure(only_other, spec=abc_spec()).miou)


def _naive(matrix: NDArray[np.int64], spec: TaskSpec) -> dict[str, Any]:
    rows = [[int(v) for v in row] for row in matrix]
    scored = set(spec.scored_ids)
    kept = range(len(rows)) if spec.unscored_policy == "full-matrix" else sorted(scored)
    ious: dict[int, float] = {}
    for c in kept:
        hit = rows[c][c]
        union = sum(rows[c][j] for j in kept) + sum(rows[i][c] for i in kept) - hit
        if union:
            ious[c] = hit / union
        elif spec.absent_policy == "zero" and c in scored:
            ious[c] = 0.0
    counted = [ious[c] for c in sorted(scored) if c in ious]
    total = sum(rows[i][j] for i in kept for j in kept)
    return {
        "ious": ious,
        "miou": sum(counted) / len(counted) if counted else math.nan,
        "accuracy": sum(rows[c][c] for c in kept) / total if total else math.nan,
    }


@given(matrices, policies)
def test_against_plain_python(matrix: NDArray[np.int64], policy: tuple[str, str]) -> None:
    spec = _spec(policy)
    found, wanted = metrics.measure(matrix, spec=spec), _naive(matrix, spec)
    got = {c: float(v) for c, v in enumerate(found.iou) if not math.isnan(v)}
    assert got == pytest.approx(wanted["ious"], rel=1e-12)
    np.testing.assert_allclose(found.miou, wanted["miou"], rtol=1e-12)
    np.testing.assert_allclose(found.overall_accuracy, wanted["accuracy"], rtol=1e-12)


@given(
    hnp.arrays(np.uint8, 60, elements=st.integers(0, 3)),
    hnp.arrays(np.uint8, 60, elements=st.integers(0, 3)),
)
def test_against_scikit_learn(truth: NDArray[np.uint8], found: NDArray[np.uint8]) -> None:
    matrix = np.zeros((4, 4), dtype=np.int64)
    np.add.at(matrix, (truth, found), 1)
    ours = metrics.measure(matrix, spec=builders.task())
    options: dict[str, Any] = {"labels": range(4), "average": None, "zero_division": np.nan}
    np.testing.assert_allclose(ours.precision, precision_score(truth, found, **options))
    np.testing.assert_allclose(ours.recall, recall_score(truth, found, **options))
    np.testing.assert_allclose(ours.f1, f1_score(truth, found, **options))
    assert ours.overall_accuracy == pytest.approx(accuracy_score(truth, found))
    # jaccard_score has no NaN for an absent class, so only present ones are compared.
    present = sorted(set(truth.tolist()) | set(found.tolist()))
    wanted = jaccard_score(truth, found, labels=present, average=None)
    np.testing.assert_allclose(ours.iou[present], wanted)


@given(matrices, matrices, policies)
def test_leading_axes_change_nothing(
    a: NDArray[np.int64], b: NDArray[np.int64], policy: tuple[str, str]
) -> None:
    spec = _spec(policy)
    both = metrics.measure(np.stack([a, b]), spec=spec)
    for i, matrix in enumerate((a, b)):
        one = metrics.measure(matrix, spec=spec)
        np.testing.assert_array_equal(both.iou[i], one.iou)
        np.testing.assert_array_equal(both.miou[i], one.miou)


@given(matrices, policies)
def test_ratios_stay_between_zero_and_one(
    matrix: NDArray[np.int64], policy: tuple[str, str]
) -> None:
    found = metrics.measure(matrix, spec=_spec(policy))
    for values in (found.iou, found.precision, found.recall, found.f1, found.miou, found.mean_f1):
        known = np.asarray(values)[~np.isnan(values)]
        assert ((known >= 0) & (known <= 1)).all()


def test_counts_that_are_not_int64_are_refused() -> None:
    with pytest.raises(ValueError, match="counts are int64"):
        metrics.measure(EXAMPLE.astype(np.float64), spec=abc_spec())
    with pytest.raises(ValueError, match="last two axes"):
        metrics.measure(np.zeros((4, 4), dtype=np.int64), spec=abc_spec())
