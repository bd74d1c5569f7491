"""The benchmarks measure what they say; their small forms run here."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from baselines import train  # noqa: E402
from baselines.bench import learning, loader, step  # noqa: E402
from baselines.data import layout, samples  # noqa: E402
from baselines.train import recipe as recipes  # noqa: E402
from scoring.engine import store  # noqa: E402


def test_the_plain_reader_reads_what_ours_reads(tree: Path) -> None:
    """Else the loader's benchmark would compare two different things."""
    import numpy as np

    class _Still:
        def random(self) -> float:
            return 1.0

        def integers(self, low: int, high: int) -> int:
            return 0

    patch = layout.index(tree, part="train").patches[2]
    image, mask, series = loader._read_plainly(patch, _Still())  # type: ignore[arg-type]
    ours = samples.read(patch, options=loader.OPTIONS)
    assert ours.aerial is not None
    assert ours.series is not None
    assert np.allclose(image, ours.aerial / 255.0)
    assert np.array_equal(mask, ours.mask)  # type: ignore[arg-type]
    assert np.allclose(series, ours.series / 10_000.0, atol=6e-5)


def test_saved_memory_counts_each_storage_once() -> None:
    weight = torch.randn(256, 256, requires_grad=True)

    def square() -> Any:
        return (weight * weight).sum()

    assert step._saved_mib(square) == pytest.approx(256 * 256 * 4 / 2**20)


def test_the_learning_bench_scores_a_run_and_its_control(tree: Path, tmp_path: Path) -> None:
    """The chain with one epoch: predict, package, score by the engine, shuffle."""
    torch.set_num_threads(1)
    recipe = recipes.changed(recipes.load("tiny-utt"), {"training.epochs": 1})
    train.run(recipe, data_root=tree, out_dir=tmp_path / "run", cache_dir=tmp_path / "cache")
    spec = learning.small_spec(tree)
    truth = tmp_path / "truth.store"
    store.pack(tree / "flair_2_labels_test", truth, spec=spec)
    miou = learning.score_run(tmp_path / "run", tree=tree, truth=truth, spec=spec)
    assert 0 < miou < 1
    assert (tmp_path / "run" / "card.json").exists()
    assert learning.shuffled_score(tmp_path / "run", tree=tree, spec=spec) != miou


def test_shuffled_series_come_from_another_patch(tree: Path) -> None:
    import numpy as np

    patches = layout.index(tree, part="test").patches
    options = dataclasses.replace(loader.OPTIONS, metadata=None)
    shuffled = learning._Shuffled(patches, options=options).gather([0, 1])
    plain = samples.Files(patches, options=options)
    assert np.array_equal(shuffled.aerial, plain.gather([0, 1]).aerial)  # type: ignore[arg-type]
    assert np.array_equal(shuffled.days, plain.gather([2, 3]).days)  # type: ignore[arg-type]
