"""Both ways of counting against a loop and scikit-learn, over every shape they may meet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from scoring.engine import synthetic
from scoring.engine.kernels import choice
from scoring.engine.kernels import counting as kernel
from scoring.engine.metrics import counting, metrics
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import Patch, TaskSpec
from scoring.engine.truth import store
from tests.scoring import builders


def _counted(
    folder: Path, spec: TaskSpec, mask: NDArray[np.uint8], prediction: NDArray[np.uint8]
) -> counting.PatchCounts:
    """By the compiled kernel, after numpy has given the same."""
    path = folder / "truth.pack"
    store.from_arrays([(Patch("001"), mask)], path, spec=spec)
    plain, compiled = (_counted_by(word, path, spec, prediction) for word in ("plain", "compiled"))
    np.testing.assert_array_equal(plain.counts, compiled.counts)
    assert plain.counts.dtype == compiled.counts.dtype == np.int64
    assert plain.outside == compiled.outside
    return compiled


def _counted_by(
    kernels: str, path: Path, spec: TaskSpec, prediction: NDArray[np.uint8]
) -> counting.PatchCounts:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(choice.VARIABLE, kernels)
        with store.PackedTruth.open(path) as truth:
            return counting.PatchCounter(truth, n_classes=spec.n_classes).count("001", prediction)


def _reference_counts(
    spec: TaskSpec, mask: NDArray[np.uint8], prediction: NDArray[np.uint8]
) -> NDArray[np.int64]:
    index = {label: i for i, label in enumerate(spec.label_values)}
    counts = np.zeros((len(index), spec.n_classes), dtype=np.int64)
    for label, found in zip(mask.flat, prediction.flat, strict=True):
        if found < spec.n_classes:
            counts[index[int(label)], found] += 1
    return counts


@st.composite
def _cases(draw: st.DrawFn) -> tuple[TaskSpec, NDArray[np.uint8], NDArray[np.uint8]]:
    """Any size, class count, run length and noise, predictions outside the classes included."""
    spec = builders.task(
        n_classes=draw(st.integers(2, 31)),
        height_px=draw(st.integers(1, 40)),
        width_px=draw(st.integers(1, 40)),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_pixels = spec.patch_pixels
    run_px = draw(st.sampled_from([1, 2, 5, 30, 200, 5000]))
    values = rng.choice(spec.label_values, size=n_pixels // run_px + 1)
    shape = (spec.patch_height_px, spec.patch_width_px)
    mask = np.repeat(values, run_px)[:n_pixels].astype(np.uint8).reshape(shape)
    highest = draw(st.sampled_from([spec.n_classes, spec.n_classes, 256]))
    prediction = rng.integers(0, highest, size=shape, dtype=np.uint8)
    return spec, mask, prediction


@settings(max_examples=150, deadline=None)
@given(case=_cases())
def test_against_a_plain_loop(
    case: tuple[TaskSpec, NDArray[np.uint8], NDArray[np.uint8]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    spec, mask, prediction = case
    found = _counted(tmp_path_factory.mktemp("count"), spec, mask, prediction)
    np.testing.assert_array_equal(found.counts, _reference_counts(spec, mask, prediction))
    values, pixels = np.unique(prediction[prediction >= spec.n_classes], return_counts=True)
    assert found.outside == dict(zip(values.tolist(), pixels.tolist(), strict=True))


def test_against_scikit_learn_on_a_full_patch(tmp_path: Path) -> None:
    spec = specs.load("flair-1")
    pair = synthetic.pair(spec, seed=5)
    found = _counted(tmp_path, spec, pair.mask, pair.prediction)
    target = np.minimum(pair.mask - 1, 12)
    wanted = confusion_matrix(target.ravel(), pair.prediction.ravel(), labels=range(13))
    reduced = metrics.reduce_labels(found.counts, label_values=spec.label_values, spec=spec)
    np.testing.assert_array_equal(reduced, wanted)
    again = np.zeros((13, 13), dtype=np.int64)
    counting.count(spec.label_table[pair.mask], pair.prediction, n_classes=13, out=again)
    np.testing.assert_array_equal(again, wanted)


@pytest.mark.parametrize("value", [12, 13, 15, 16, 31, 32, 127, 128, 254, 255])
def test_no_value_is_dropped_silently(tmp_path: Path, value: int) -> None:
    spec = specs.load("flair-1")
    pair = synthetic.pair(spec, seed=1)
    prediction = pair.prediction.copy()
    prediction[100:110, 7:19] = value
    found = _counted(tmp_path, spec, pair.mask, prediction)
    expected = {} if value <= 12 else {value: 120}
    assert found.outside == expected
    assert int(found.counts.sum()) + sum(expected.values()) == prediction.size


@pytest.mark.parametrize("kernels", ["compiled", "plain"])
@pytest.mark.parametrize("when", ["counted", "listed"])
def test_pixels_that_change_while_they_are_read_do_not_vanish(
    when: str, kernels: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder taken over could show a value that is no class and then take it away."""
    spec = specs.load("flair-1")
    pair = synthetic.pair(spec, seed=1)
    prediction = pair.prediction.copy()
    prediction[100:110, 7:19] = 255
    count, outside = counting.PatchCounter._counts, counting._outside

    def counted(self: counting.PatchCounter, *patch: Any) -> Any:
        found = count(self, *patch)
        if when == "counted":
            prediction[:] = 0
        return found

    def listed(pixels: Any, *, n_classes: int) -> dict[int, int]:
        prediction[:] = 0
        return outside(pixels, n_classes=n_classes)

    monkeypatch.setattr(counting.PatchCounter, "_counts", counted)
    monkeypatch.setattr(counting, "_outside", listed)
    store.from_arrays([(Patch("001"), pair.mask)], tmp_path / "truth.pack", spec=spec)
    found = _counted_by(kernels, tmp_path / "truth.pack", spec, prediction)
    assert int(found.counts.sum()) + sum(found.outside.values()) == prediction.size
    assert found.outside == ({} if when == "counted" else {255: 120})


def test_a_mask_of_one_label_and_runs_beyond_sixteen_bits(tmp_path: Path) -> None:
    spec = specs.load("flair-1")
    mask = np.full((512, 512), 19, dtype=np.uint8)
    mask[511, 511] = 1
    prediction = np.full((512, 512), 12, dtype=np.uint8)
    found = _counted(tmp_path, spec, mask, prediction)
    assert found.counts[18, 12] == 512 * 512 - 1
    assert found.counts[0, 12] == 1
    assert found.counts.sum() == 512 * 512


def test_a_view_with_strides_counts_like_its_copy(tmp_path: Path) -> None:
    spec = builders.task(height_px=32, width_px=32)
    mask = builders.masks(spec, count=1)["001"]
    wide = np.random.default_rng(0).integers(0, 4, size=(32, 64), dtype=np.uint8)
    strided = wide[:, ::2]
    found = _counted(tmp_path, spec, mask, strided)
    np.testing.assert_array_equal(found.counts, _reference_counts(spec, mask, strided.copy()))


def test_another_shape_or_type_is_refused(tmp_path: Path) -> None:
    spec = builders.task()
    mask = builders.masks(spec, count=1)["001"]
    wrongs: list[Any] = [mask.T.copy(), mask[:1, :1], mask.astype(np.int16), mask.ravel()]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="prediction is"):
            _counted(tmp_path, spec, mask, wrong)
    out = np.zeros((4, 4), dtype=np.int64)
    with pytest.raises(ValueError, match=r"prediction holds 5; allowed are 0 to 3"):
        counting.count(mask * 0, mask * 0 + 5, n_classes=4, out=out)
    assert not out.any()


def test_an_unknown_patch_is_a_key_error(tmp_path: Path) -> None:
    spec = builders.task()
    truth = builders.masks(spec, count=1)
    builders.pack_truth(tmp_path / "truth.pack", spec, truth)
    with store.PackedTruth.open(tmp_path / "truth.pack") as opened:
        counter = counting.PatchCounter(opened, n_classes=4)
        with pytest.raises(KeyError):
            counter.count("999", truth["001"])


@pytest.mark.parametrize("kernels", ["compiled", "plain"])
def test_a_corrupt_record_counts_no_pixel_twice(
    kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should a record ever lie about its labels and lengths; `tests/scoring/kernels` has more."""
    monkeypatch.setenv(choice.VARIABLE, kernels)
    pixels = np.arange(256, dtype=np.uint8)
    record = np.array([0, 65535, 3], dtype="<u2").tobytes() + bytes([255, 1, 7])
    found = kernel.counter(n_classes=16, n_labels=3)(record, 3, pixels)
    assert found.tolist() == [[0] * 16, [0] + [1] * 15, [1] + [0] * 15]
