"""Packed ground truth: complete or not at all, the same digest for the same masks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoring.engine import synthetic
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import Patch, TaskSpec
from scoring.engine.truth import store
from scoring.engine.truth.store import PackedTruth, StoreError
from tests.scoring import builders
from tests.shared_data import shared_data


@pytest.fixture
def spec() -> TaskSpec:
    return builders.task()


def test_it_works(tmp_path: Path, spec: TaskSpec) -> None:
    truth = builders.masks(spec, count=7)
    info = store.pack(
        builders.write_mask_folders(tmp_path / "labels", truth), tmp_path / "out", spec=spec
    )
    assert info.patch_ids == tuple(truth)
    with PackedTruth.open(tmp_path / "out") as opened:
        assert opened.digest == info.digest
        assert opened.ids == tuple(truth)
        assert opened.domain_of["007"] == "D002_2020"
        assert opened.zone_of["007"] == "D002_2020/Z1_UN"
        for patch_id, mask in truth.items():
            np.testing.assert_array_equal(opened.read_labels(patch_id), mask)
            np.testing.assert_array_equal(opened.read(patch_id), spec.label_table[mask])


def test_the_digest_depends_on_the_masks_alone(tmp_path: Path, spec: TaskSpec) -> None:
    truth = builders.masks(spec, count=6)
    digests = set()
    ways: tuple[dict[str, Any], ...] = (
        {"compress": "lzw"},
        {"compress": None},
        {"compress": "deflate", "blockysize": 4},
    )
    for i, way in enumerate(ways):
        folder = builders.write_mask_folders(tmp_path / str(i), truth, **way)
        digests.add(store.pack(folder, tmp_path / f"{i}.pack", spec=spec).digest)
    backwards = dict(reversed(truth.items()))
    digests.add(builders.pack_truth(tmp_path / "backwards", spec, backwards).digest)
    assert len(digests) == 1
    changed = {**truth, "003": truth["003"].copy()}
    changed["003"][5, 5] = changed["003"][5, 5] % 5 + 1
    assert builders.pack_truth(tmp_path / "changed", spec, changed).digest not in digests


def test_zones_come_from_a_list_where_folders_do_not_name_them(
    tmp_path: Path, spec: TaskSpec
) -> None:
    truth = builders.masks(spec, count=2)
    for patch_id, mask in truth.items():
        builders.write_tiff(tmp_path / "flat" / f"MSK_{patch_id}.tif", mask)
    listed = {"001": ("D012_2019", "Z4_AU"), "002": ("D012_2019", "Z5_NN")}
    info = store.pack(tmp_path / "flat", tmp_path / "out", spec=spec, domains=listed)
    assert info.zones == {"001": "D012_2019/Z4_AU", "002": "D012_2019/Z5_NN"}


def _wrong_shape(folder: Path, spec: TaskSpec) -> None:
    builders.write_tiff(folder / "MSK_002.tif", np.ones((24, 16), dtype=np.uint8))


def _wrong_type(folder: Path, spec: TaskSpec) -> None:
    builders.write_tiff(folder / "MSK_002.tif", np.ones((16, 24), dtype=np.uint16))


def _two_bands(folder: Path, spec: TaskSpec) -> None:
    builders.write_tiff(folder / "MSK_002.tif", np.ones((2, 16, 24), dtype=np.uint8))


def _zero_label(folder: Path, spec: TaskSpec) -> None:
    mask = np.ones((16, 24), dtype=np.uint8)
    mask[3, 3:6] = 0
    mask[4, 4] = 77
    builders.write_tiff(folder / "MSK_002.tif", mask)


def _cut(folder: Path, spec: TaskSpec) -> None:
    path = folder / "MSK_002.tif"
    path.write_bytes(path.read_bytes()[:150])


def _not_a_tiff(folder: Path, spec: TaskSpec) -> None:
    (folder / "MSK_002.tif").write_text("<VRTDataset/>")


def _missing(folder: Path, spec: TaskSpec) -> None:
    (folder / "MSK_002.tif").unlink()


def _unknown(folder: Path, spec: TaskSpec) -> None:
    shutil.copy(folder / "MSK_001.tif", folder / "MSK_900.tif")


def _twice(folder: Path, spec: TaskSpec) -> None:
    (folder / "again").mkdir()
    shutil.copy(folder / "MSK_001.tif", folder / "again" / "MSK_001.tif")


@pytest.mark.parametrize(
    ("breaks", "file", "message"),
    [
        (_wrong_shape, "MSK_002.tif", r"is \(24, 16\) pixels"),
        (_wrong_type, "MSK_002.tif", "uint16"),
        (_two_bands, "MSK_002.tif", "2 band"),
        (_zero_label, "MSK_002.tif", r"illegal labels: 0 \(3 px\), 77 \(1 px\)"),
        (_cut, "MSK_002.tif", "cannot be read"),
        (_not_a_tiff, "MSK_002.tif", "cannot be read"),
        (_missing, "labels", "1 of 3 masks are missing: 002"),
        (_unknown, "MSK_900.tif", "not expected"),
        (_twice, "MSK_001.tif", "already found"),
    ],
)
def test_a_broken_mask_stops_it_and_nothing_is_written(
    tmp_path: Path,
    spec: TaskSpec,
    breaks: Callable[[Path, TaskSpec], None],
    file: str,
    message: str,
) -> None:
    truth = builders.masks(spec, count=3)
    labels = tmp_path / "labels"
    for patch_id, mask in truth.items():
        builders.write_tiff(labels / f"MSK_{patch_id}.tif", mask)
    breaks(labels, spec)
    out = tmp_path / "store" / "truth.pack"
    out.parent.mkdir()
    with pytest.raises(StoreError, match=message) as caught:
        store.pack(labels, out, spec=spec, ids=list(truth))
    assert file in caught.value.file
    assert list(out.parent.iterdir()) == []


def test_an_older_pack_survives_a_failed_one(tmp_path: Path, spec: TaskSpec) -> None:
    truth = builders.masks(spec, count=3)
    labels = builders.write_mask_folders(tmp_path / "labels", truth)
    store.pack(labels, tmp_path / "out", spec=spec)
    before = (tmp_path / "out").read_bytes()
    (labels / "D001_2020" / "Z1_UN" / "msk" / "MSK_001.tif").write_bytes(b"II*\0")
    with pytest.raises(StoreError):
        store.pack(labels, tmp_path / "out", spec=spec)
    assert (tmp_path / "out").read_bytes() == before


def test_an_empty_folder_says_so(tmp_path: Path, spec: TaskSpec) -> None:
    with pytest.raises(StoreError, match="holds no mask"):
        store.pack(tmp_path, tmp_path / "out", spec=spec)


@pytest.mark.parametrize("size", [0, 5, 40, -1, -30])
def test_a_cut_file_is_not_opened(tmp_path: Path, spec: TaskSpec, size: int) -> None:
    builders.pack_truth(tmp_path / "out", spec, builders.masks(spec, count=3))
    data = (tmp_path / "out").read_bytes()
    (tmp_path / "cut").write_bytes(data[:size])
    with pytest.raises(StoreError, match="cut"):
        PackedTruth.open(tmp_path / "cut")


def test_a_damaged_record_is_noticed(tmp_path: Path, spec: TaskSpec) -> None:
    builders.pack_truth(tmp_path / "out", spec, builders.masks(spec, count=3))
    data = bytearray((tmp_path / "out").read_bytes())
    data[len(store.MAGIC) + 4] ^= 1
    (tmp_path / "bad").write_bytes(data)
    with (
        PackedTruth.open(tmp_path / "bad") as opened,
        pytest.raises(StoreError, match="record of patch 001 is damaged"),
    ):
        opened.read("001")


def test_a_pack_of_another_task_does_not_fit(tmp_path: Path, spec: TaskSpec) -> None:
    builders.pack_truth(tmp_path / "out", spec, builders.masks(spec, count=3))
    with PackedTruth.open(tmp_path / "out") as opened:
        store.check_fits(opened, spec=spec)
        with pytest.raises(StoreError, match=r"wants \(8, 24\)"):
            store.check_fits(opened, spec=builders.task(height_px=8))
        with pytest.raises(StoreError, match=r"labels made has not: \[4, 5\]"):
            store.check_fits(opened, spec=builders.task(n_classes=2))


def test_noise_is_stored_as_it_is(tmp_path: Path, spec: TaskSpec) -> None:
    noise = np.random.default_rng(3).integers(1, 6, size=(16, 24), dtype=np.uint8)
    info = builders.pack_truth(tmp_path / "out", spec, {"001": noise})
    with PackedTruth.open(tmp_path / "out") as opened:
        np.testing.assert_array_equal(opened.read_labels("001"), noise)
    assert info.file_bytes < noise.size + 700


def test_made_land_cover_takes_a_tenth_of_its_size(tmp_path: Path) -> None:
    spec = specs.load("flair-1")
    masks = ((Patch(f"{i:06d}"), synthetic.pair(spec, seed=i, noise=0).mask) for i in range(12))
    info = store.from_arrays(masks, tmp_path / "out", spec=spec)
    assert info.file_bytes < 0.1 * info.raw_bytes


def test_real_masks_take_a_tenth_of_their_size(tmp_path: Path) -> None:
    data = shared_data()
    if data is None:
        pytest.skip("the shared sample data are not here: set SHARED_DATA")
    spec = specs.load("flair-1")
    found = sorted(store.find_masks(data / "real_patches", spec=spec))
    info = store.pack(data / "real_patches", tmp_path / "out", spec=spec, ids=found)
    assert len(info.patch_ids) == 3
    assert info.file_bytes < 0.1 * info.raw_bytes
