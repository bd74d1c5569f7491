"""Indexing by file name, splits, and the reduction of labels."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from baselines.data import layout, splits
from baselines.data.nomenclature import (
    FLAIR_LABELS,
    ILLEGAL,
    labels_of,
    reduce_labels,
    reduction_table,
)
from scoring.engine.task import specification as specs


def test_the_published_tree_is_complete(tree: Path) -> None:
    train = layout.index(tree, part="train")
    test = layout.index(tree, part="test")
    assert (len(train.patches), len(test.patches)) == (12, 4)
    assert train.missing == test.missing == ()
    assert [patch.id for patch in test.patches] == [
        "077413",
        "077414",
        "077415",
        "077416",
    ]
    assert all(patch.series and patch.centroid and patch.mask for patch in train.patches)


@pytest.mark.parametrize(
    ("image_folder", "mask_folder", "part"),
    [
        ("train/{d}/{z}/img", "train/{d}/{z}/msk", "train"),
        ("test/{d}/{z}/img", "test/{d}/{z}/msk", "test"),
        ("latest/{d}/{z}/img", "latest/{d}/{z}/msk", "train"),
        ("data/train-val/{d}/aerial/{z}", "data/train-val/{d}/labels/{z}", "train"),
        (
            "data/flair#2-test/{d}/aerial/{z}",
            "data/flair#2-test/{d}/labels/{z}",
            "test",
        ),
        (
            "flair_2_toy_aerial_train/{d}/{z}/img",
            "flair_2_toy_labels_train/{d}/{z}/msk",
            "train",
        ),
    ],
)
def test_other_layouts_are_read_alike(
    tree: Path, tmp_path: Path, image_folder: str, mask_folder: str, part: str
) -> None:
    source = layout.index(tree, part="train").patches[0]
    assert source.mask is not None
    for file, folder in ((source.image, image_folder), (source.mask, mask_folder)):
        target = tmp_path / folder.format(d=source.domain, z=source.zone)
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    found = layout.index(tmp_path)
    (patch,) = found.patches
    assert (patch.id, patch.domain, patch.zone, patch.part) == (
        source.id, source.domain, source.zone, part,
    )  # fmt: skip
    assert patch.mask is not None
    assert any("no complete Sentinel-2 series (first: 000001)" in text for text in found.missing)


def test_an_id_twice_in_one_part_is_refused(tree: Path, tmp_path: Path) -> None:
    source = layout.index(tree).patches[0]
    for number in (1, 2):
        target = tmp_path / "train" / source.domain / f"Z{number}_UU"
        target.mkdir(parents=True)
        shutil.copy(source.image, target)
    with pytest.raises(ValueError, match="is there twice"):
        layout.index(tmp_path)


def test_packed_domains_are_named(tmp_path: Path) -> None:
    (tmp_path / "D004_2021.zip").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="1 zips of domains: unpack them first"):
        layout.index(tmp_path)


def test_official_split() -> None:
    assert len(splits.TRAIN_DOMAINS) == 32
    assert len(splits.VAL_DOMAINS) == 8
    assert set(splits.TRAIN_DOMAINS).isdisjoint(splits.VAL_DOMAINS)
    assert splits.official(["D077_2021", "D006_2020"]) == (["D006_2020"], ["D077_2021"])
    with pytest.raises(ValueError, match="D012_2019: in neither"):
        splits.official(["D012_2019"])


def test_folds_hold_each_domain_out_once() -> None:
    held = [splits.fold(splits.TRAIN_DOMAINS, k=5, held_out=part)[1] for part in range(5)]
    assert sorted(name for part in held for name in part) == sorted(splits.TRAIN_DOMAINS)
    for k, held_out in ((1, 0), (33, 0), (5, 5)):
        with pytest.raises(ValueError, match="allowed are"):
            splits.fold(splits.TRAIN_DOMAINS, k=k, held_out=held_out)


def test_thirteen_to_nineteen_are_other() -> None:
    for name in ("flair-1", "flair-2"):
        assert labels_of(specs.load(name)) == FLAIR_LABELS
    table = reduction_table(FLAIR_LABELS)
    assert table[1:20].tolist() == [*range(12), *[12] * 7]
    assert (table[[0, 20, 255]] == ILLEGAL).all()
    with pytest.raises(ValueError, match="mask value 20 is no label of the task; allowed are 1 to"):
        reduce_labels(np.array([[1, 20]], dtype=np.uint8))
