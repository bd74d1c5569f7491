"""The synthetic data set: exact layout, types and promises about what decides each class."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from baselines.data import layout, phenology, rasters, synth
from baselines.data.nomenclature import LABEL, LABEL_KEYS
from baselines.data.world import CLUE_FROM_M, PATCH_M, Radiometry, World


def test_flair_2_layout_is_the_published_one(tree: Path) -> None:
    image = next((tree / "flair_aerial_train").glob("D*/Z*/img/IMG_000001.tif"))
    domain, zone = image.parts[-4], image.parts[-3]
    mask = tree / "flair_labels_train" / domain / zone / "msk" / "MSK_000001.tif"
    with rasterio.open(image) as opened:
        assert (opened.count, opened.dtypes[0], opened.width) == (5, "uint8", 64)
        assert opened.compression.name == "lzw"
        assert opened.crs.to_epsg() == 2154
        assert opened.res == pytest.approx((1.6, 1.6))
    with rasterio.open(mask) as opened:
        assert (opened.count, opened.dtypes[0]) == (1, "uint8")
        assert opened.crs.to_epsg() is None, "train masks are published without an EPSG code"
        values = np.unique(opened.read())
    assert values.min() >= 1
    assert values.max() <= 19
    stem = tree / "flair_sen_train" / domain / zone / "sen" / f"SEN2_sp_{domain}-{zone}"
    data = np.load(f"{stem}_data.npy", mmap_mode="r")
    masks = np.load(f"{stem}_masks.npy", mmap_mode="r")
    products = Path(f"{stem}_products.txt").read_text().split()
    assert data.ndim == 4
    assert data.shape[:2] == (len(products), 10)
    assert data.max() <= 10_000
    assert masks.shape == (len(products), 2, *data.shape[2:])
    assert masks.max() <= 100
    assert all(dt.date.fromisoformat(name[11:19]) for name in products)
    assert (tree / "flair_2_aerial_test").is_dir()
    metadata = json.loads((tree / "flair_aerial_metadata.json").read_text())["IMG_000001"]
    assert set(metadata) == {
        "domain", "zone", "patch_centroid_x", "patch_centroid_y", "patch_centroid_z", "date",
        "time", "camera",
    }  # fmt: skip
    row, column = json.loads((tree / "flair-2_centroids_sp_to_patch.json").read_text())[
        "IMG_000001.tif"
    ]
    assert 20 <= row <= data.shape[2] - 20
    assert 20 <= column <= data.shape[3] - 20


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    options = {"patch_px": 32, "train": 2, "val": 0, "test": 0, "dates": (4, 6)}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        synth.make(tmp_path / name, seed=seed, **options)  # type: ignore[arg-type]
    contents = {
        name: [path.read_bytes() for path in sorted((tmp_path / name).rglob("*")) if path.is_file()]
        for name in "abc"
    }
    assert contents["a"] == contents["b"]
    assert contents["a"] != contents["c"]


def test_listed_patches_get_their_own_folders(tmp_path: Path) -> None:
    listed = [("D012_2019", "Z1_UU", "061713"), ("D083_2020", "Z5_NF", "075000")]
    synth.make(tmp_path, layout="flair-1", patch_px=32, train=0, val=0, test_patches=listed)
    found = layout.index(tmp_path, part="test").patches
    assert [(patch.domain, patch.zone, patch.id) for patch in found] == listed
    assert not list(tmp_path.rglob("SEN2*"))


def test_a_second_tree_in_the_same_folder_is_refused(tree: Path) -> None:
    with pytest.raises(ValueError, match="choose an empty folder"):
        synth.make(tree, patch_px=32)


def test_a_leap_year_has_its_leap_day() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        dates = phenology.draw_dates(rng, year=2020, count_range=(8, 12))
        assert dt.date(2020, 2, 29) in dates
        assert dates == sorted(dates)


def _world(*, urban: bool) -> World:
    return World(
        5,
        letters="UA",
        urban_surroundings=urban,
        side=2,
        spacing_m=307.2,
        margin_m=120.0,
    )


def test_only_surroundings_tell_pervious_surface_from_bare_soil() -> None:
    """Same seed, other surroundings: the aerial image is equal, the earth's label is not."""
    along = (np.arange(64, dtype=np.float32) + 0.5) * np.float32(PATCH_M / 64)
    earth_px = 0
    for index in range(4):
        taken = []
        for urban in (True, False):
            world = _world(urban=urban)
            x_m, y_m = world.patch_origin(index)
            x, y = np.meshgrid(along + np.float32(x_m), along + np.float32(y_m))
            rng = np.random.default_rng(0)
            taken.append(world.aerial(x, y, radiometry=Radiometry(), rng=rng, leak=0))
        (urban_image, urban_label), (rural_image, rural_label) = taken
        assert np.array_equal(urban_image, rural_image)
        earth = urban_label == LABEL["pervious"]
        earth_px += int(earth.sum())
        assert np.array_equal(earth, rural_label == LABEL["bare_soil"])
        assert np.array_equal(urban_label[~earth], rural_label[~earth])
    assert earth_px > 100


def test_around_a_patch_nothing_tells_its_surroundings() -> None:
    """The same cells within `CLUE_FROM_M`, others farther out."""
    step_m = 4.0
    along = np.arange(-100, 203, step_m, dtype=np.float32)
    labels = []
    for urban in (True, False):
        world = _world(urban=urban)
        x_m, y_m = world.patch_origin(0)
        x, y = np.meshgrid(along + np.float32(x_m), along + np.float32(y_m))
        label, _ = world.labels(x, y)
        label[label == LABEL["pervious"]] = LABEL["bare_soil"]
        labels.append(label)
    near = (along > -CLUE_FROM_M) & (along < PATCH_M + CLUE_FROM_M)
    differ = labels[0] != labels[1]
    assert not differ[np.ix_(near, near)].any()
    assert differ[:10].mean() > 0.2


def test_look_alikes_differ_in_their_series() -> None:
    days = np.arange(15.0, 366.0, 30.0)
    curves = phenology.signatures(days)
    for one, other in (("deciduous", "coniferous"), ("herbaceous", "agricultural")):
        gap = np.abs(curves[:, LABEL[one]] - curves[:, LABEL[other]]).mean(axis=1)
        assert gap.max() > 500, (one, other)


def test_every_label_has_looks_and_a_season() -> None:
    assert set(LABEL_KEYS) == set(phenology._SEASONS)
    along = np.arange(0, 614, 2, dtype=np.float32)
    x, y = np.meshgrid(along, along)
    seen = set()
    for seed, letters in enumerate(("UU", "AA", "NN", "FF") * 3):
        world = World(
            seed,
            letters=letters,
            urban_surroundings=False,
            side=2,
            spacing_m=307.2,
            margin_m=120.0,
        )
        seen |= set(np.unique(world.labels(x, y)[0]).tolist())
    assert seen >= set(range(1, 20)) - {LABEL["pervious"]}


def test_clouded_dates_are_bright_and_masked(tree: Path) -> None:
    for data_path in tree.rglob("SEN2*_data.npy"):
        data = np.load(data_path)
        clouds = np.load(str(data_path).replace("_data", "_masks"))[:, 1]
        if (clouds >= 90).any():
            blue = data[:, 0]
            assert blue[clouds >= 90].mean() > 3 * blue[clouds < 10].mean()
            return
    pytest.fail("no clouded date in the tree")


def test_rasters_refuse_what_they_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "IMG_000001.tif"
    rasters.write(path, np.zeros((3, 8, 8), dtype=np.uint16))
    with pytest.raises(ValueError, match="type uint16; uint8 is needed"):
        rasters.read(path)
    rasters.write(path, np.zeros((3, 8, 8), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"bands \[5\] wanted, file has 3"):
        rasters.read(path, bands=(1, 5))
