"""From files to tensors: the cache, the order of an epoch, flips on the device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from baselines.data import batches, cache, choices, layout, samples  # noqa: E402
from baselines.data.samples import Options  # noqa: E402
from baselines.data.sentinel import SeriesOptions  # noqa: E402

EVERYTHING = Options(series=SeriesOptions(filter=True, monthly=True), metadata="scaled")


@pytest.mark.parametrize("options", [EVERYTHING, Options(series=SeriesOptions()), Options()])
def test_a_cache_gives_what_the_files_hold(tree: Path, tmp_path: Path, options: Options) -> None:
    patches = layout.index(tree, part="train").patches
    packed = cache.build(tmp_path, patches, options=options)
    chosen = [7, 0, 11]
    got = packed.gather(chosen).arrays
    expected = samples.Files(patches, options=options).gather(chosen).arrays
    assert set(got) == set(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype, name
        assert np.array_equal(got[name], array), name


def test_a_cache_is_made_once_and_anew_for_other_options(tree: Path, tmp_path: Path) -> None:
    patches = layout.index(tree, part="train").patches
    first = cache.build(tmp_path, patches, options=Options())
    stamp = (first.folder / "aerial.npy").stat().st_mtime_ns
    again = cache.build(tmp_path, patches, options=Options())
    assert again.folder == first.folder
    assert (again.folder / "aerial.npy").stat().st_mtime_ns == stamp
    other = cache.build(tmp_path, patches, options=Options(bands=(1, 2, 3)))
    assert other.folder != first.folder
    assert other.gather([0]).arrays["aerial"].shape[1] == 3


def test_a_patch_that_lacks_something_leaves_no_cache(tree: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    patches = [*layout.index(tree, part="train").patches]
    patches[5] = replace(patches[5], mask=None)
    with pytest.raises(ValueError, match="patch 000006: has no mask"):
        cache.build(tmp_path, patches, options=Options())
    assert list(tmp_path.iterdir()) == []


class _Numbers:
    """A source whose patches are their positions."""

    def __init__(self, count: int, *, broken_at: int | None = None) -> None:
        self.count, self.broken_at = count, broken_at

    def __len__(self) -> int:
        return self.count

    def gather(self, index: Sequence[int]) -> samples.Batch:
        if self.broken_at in index:
            raise ValueError("patch 000042: broken")
        return samples.Batch(index=np.array(index))


def _seen(epoch: batches.Epoch) -> list[list[int]]:
    return [batch["index"].tolist() for batch in epoch]


def test_without_shuffling_every_patch_comes_once_in_order() -> None:
    assert _seen(batches.Epoch(_Numbers(10), 4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_an_epoch_depends_on_seed_and_number_alone() -> None:
    def draw(seed: int, epoch: int) -> list[list[int]]:
        return _seen(batches.Epoch(_Numbers(20), 4, seed=seed, epoch=epoch, shuffle=True))

    assert draw(1, 3) == draw(1, 3)
    assert draw(1, 3) != draw(1, 4)
    assert draw(1, 3) != draw(2, 3)
    assert sorted(sum(draw(1, 3), [])) == list(range(20))  # noqa: RUF017 - a small list


def test_processes_share_an_epoch_without_overlap() -> None:
    parts = [
        _seen(batches.Epoch(_Numbers(21), 5, shuffle=True, rank=rank, world=2)) for rank in (0, 1)
    ]
    flat = [{index for batch in part for index in batch} for part in parts]
    assert [len(part) for part in parts] == [2, 2]
    assert flat[0].isdisjoint(flat[1])
    whole = [_seen(batches.Epoch(_Numbers(21), 5, rank=rank, world=2)) for rank in (0, 1)]
    assert sorted(index for part in whole for batch in part for index in batch) == list(range(21))


def test_an_incomplete_batch_is_trained_on_only_where_there_is_no_other() -> None:
    assert len(batches.Epoch(_Numbers(9), 4, shuffle=True)) == 2
    assert len(batches.Epoch(_Numbers(3), 4, shuffle=True)) == 1


def test_an_error_of_the_reading_thread_reaches_the_loop() -> None:
    with pytest.raises(ValueError, match="patch 000042"):
        _seen(batches.Epoch(_Numbers(100, broken_at=42), 4))


def test_leaving_an_epoch_early_ends_its_thread() -> None:
    import threading

    before = set(threading.enumerate())
    iterator = iter(batches.Epoch(_Numbers(1000), 1))
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) <= before


def test_the_eight_turns_are_the_symmetries_of_a_square() -> None:
    square = torch.arange(16).view(1, 4, 4).expand(8, 4, 4)
    turned = batches.turn_squares(square, torch.arange(8))
    reference = torch.arange(16).view(4, 4)
    expected = {
        tuple(torch.rot90(side, k).flatten().tolist())
        for side in (reference, reference.flip(-1))
        for k in range(4)
    }
    assert {tuple(one.flatten().tolist()) for one in turned} == expected


@pytest.mark.parametrize("moved", ["together", "aerial-only", "none"])
def test_aerial_mask_and_series_move_together(moved: choices.Moved) -> None:
    """The same pattern in all three stays the same pattern, unless asked otherwise."""
    pattern = torch.arange(64, dtype=torch.uint8).view(8, 8)
    turn = torch.arange(8)
    batch = {
        "aerial": pattern.expand(8, 5, 8, 8).clone(),
        "mask": pattern.expand(8, 8, 8).clone(),
        "series": pattern.to(torch.int16).expand(8, 3, 10, 8, 8).clone() * 100,
        "days": torch.zeros(8, 3),
        "padding": torch.zeros(8, 3, dtype=torch.bool),
        "turn": turn,
    }
    given = batches.to_inputs(
        batch, device=torch.device("cpu"), moved=moved, memory_format=torch.contiguous_format
    )
    expected = batches.turn_squares(pattern.expand(8, 8, 8), turn) if moved != "none" else pattern
    still = pattern.expand(8, 8, 8)
    aerial = (given["aerial"] * 255).round().to(torch.uint8)
    assert torch.equal(aerial[:, 4], expected.expand(8, 8, 8))
    assert torch.equal(given["target"].to(torch.uint8), expected.expand(8, 8, 8))
    series = (given["sentinel"] * 100).round().to(torch.uint8)[:, 2, 9]
    assert torch.equal(series, expected if moved == "together" else still)


def test_reflectance_and_brightness_are_scaled_alike_everywhere() -> None:
    batch = {
        "aerial": torch.full((1, 5, 4, 4), 255, dtype=torch.uint8),
        "series": torch.full((1, 2, 10, 4, 4), 10_000, dtype=torch.int16),
        "days": torch.zeros(1, 2),
        "padding": torch.zeros(1, 2, dtype=torch.bool),
    }
    given = batches.to_inputs(batch, device=torch.device("cpu"), memory_format=torch.channels_last)
    assert (given["aerial"] == 1).all()
    assert (given["sentinel"] == 1).all()
    assert given["aerial"].is_contiguous(memory_format=torch.channels_last)
