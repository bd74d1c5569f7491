"""Write a synthetic data set in the exact layout of FLAIR #1 or #2; needs no torch.

Names of folders and files, types, units and the two JSON files are those of the published sets.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from baselines.data import phenology, rasters, splits
from baselines.data.world import PATCH_M, Radiometry, World, zone_letters

LAYOUTS = ("flair-1", "flair-2")
FIRST_TEST_ID = {"flair-1": 61713, "flair-2": 77413}
SPACING_M = 307.2  # patches lie apart: what surrounds them is for the satellite alone
MARGIN_M = 120.0


@dataclass(frozen=True)
class ZonePlan:
    """What one zone of the tree holds."""

    part: str  # "train" (with validation, as published) or "test"
    domain: str
    zone: str
    patch_ids: tuple[str, ...]
    urban_surroundings: bool


@dataclass(frozen=True)
class Summary:
    """What was written."""

    patches_train: int
    patches_test: int
    zones: int
    aerial_train: str
    labels_train: str
    aerial_test: str
    labels_test: str

    def to_json(self) -> dict[str, Any]:
        """Give the summary as a JSON object; paths are relative to the tree's root."""
        return asdict(self)


def make(
    out: Path,
    *,
    seed: int = 0,
    layout: str = "flair-2",
    patch_px: int = 512,
    train: int = 16,
    val: int = 8,
    test: int = 16,
    per_zone: int = 4,
    dates: tuple[int, int] = (20, 114),
    aerial_only: bool = False,
    test_patches: Sequence[tuple[str, str, str]] | None = None,
    leak: float = 0.0,
    workers: int = 2,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Summary:
    """Write the tree below `out` and tell what stands there.

    `train`, `val` and `test` count patches; validation lies in the train folders, in the official
    validation domains. `test_patches` (domain, zone, id) replaces the drawn test zones. `dates`
    bounds the number of satellite dates of a zone. The same arguments give the same bytes.
    `on_progress` is told after each zone how many of how many patches are made.

    Raises ValueError for an unknown layout or a folder that already holds a tree.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout {layout!r}; allowed are {', '.join(LAYOUTS)}")
    folders = folder_names(layout)
    if any((out / name).exists() for name in folders.values()):
        raise ValueError(f"{out} already holds a data set; choose an empty folder")
    plans = _plan_drawn("train", splits.TRAIN_DOMAINS, train, per_zone=per_zone, seed=seed)
    plans += _plan_drawn(
        "train",
        splits.VAL_DOMAINS,
        val,
        per_zone=per_zone,
        seed=seed,
        first_id=1 + train,
    )
    if test_patches is not None:
        plans += _plan_listed(test_patches)
    else:
        plans += _plan_drawn(
            "test", splits.TEST_DOMAINS[layout], test, per_zone=per_zone, seed=seed,
            first_id=FIRST_TEST_ID[layout],
        )  # fmt: skip
    with_series = layout == "flair-2" and not aerial_only
    out.mkdir(parents=True, exist_ok=True)

    def write(plan: ZonePlan) -> tuple[dict[str, Any], dict[str, list[int]]]:
        return _write_zone(
            out, plan, folders=folders, seed=seed, patch_px=patch_px,
            dates=dates if with_series else None, leak=leak,
        )  # fmt: skip

    metadata: dict[str, Any] = {}
    centroids: dict[str, list[int]] = {}
    total = sum(len(plan.patch_ids) for plan in plans)
    with ThreadPoolExecutor(workers) as pool:
        for zone_metadata, zone_centroids in pool.map(write, plans):
            metadata |= zone_metadata
            centroids |= zone_centroids
            on_progress(len(metadata), total)
    name = {
        "flair-1": "flair-1_metadata_aerial.json",
        "flair-2": "flair_aerial_metadata.json",
    }
    (out / name[layout]).write_text(json.dumps(metadata, indent=1))
    if with_series:
        (out / "flair-2_centroids_sp_to_patch.json").write_text(json.dumps(centroids))
    counts = {
        part: sum(len(plan.patch_ids) for plan in plans if plan.part == part)
        for part in ("train", "test")
    }
    return Summary(
        patches_train=counts["train"],
        patches_test=counts["test"],
        zones=len(plans),
        aerial_train=folders["aerial_train"],
        labels_train=folders["labels_train"],
        aerial_test=folders["aerial_test"],
        labels_test=folders["labels_test"],
    )


def folder_names(layout: str) -> dict[str, str]:
    """Give the published folder of each kind and part, such as `aerial_test`."""
    test = {"flair-1": "flair_1_{}_test", "flair-2": "flair_2_{}_test"}[layout]
    kinds = {"aerial": "aerial", "sen": "sen", "labels": "labels"}
    return {f"{kind}_train": f"flair_{name}_train" for kind, name in kinds.items()} | {
        f"{kind}_test": test.format(name) for kind, name in kinds.items()
    }


def read_ids_csv(path: Path) -> list[tuple[str, str, str]]:
    """Read the columns domain, zone, patch of a list of patches.

    Raises ValueError naming the missing columns.
    """
    with path.open(newline="") as source:
        reader = csv.DictReader(source)
        missing = {"domain", "zone", "patch"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{path.name}: no column {', '.join(sorted(missing))}")
        return [(row["domain"], row["zone"], row["patch"]) for row in reader]


def _plan_drawn(
    part: str,
    domains: Sequence[str],
    patches: int,
    *,
    per_zone: int,
    seed: int,
    first_id: int = 1,
) -> list[ZonePlan]:
    """Spread patches over zones, zones over the given domains in order."""
    plans = []
    sizes = [min(per_zone, patches - start) for start in range(0, patches, per_zone)]
    zones_in_domain = max(2, -(-len(sizes) // len(domains)))
    next_id = first_id
    for index, size in enumerate(sizes):
        domain = domains[index // zones_in_domain]
        rng = _generator(seed, f"{part}/{domain}/{index}")
        zone = f"Z{index % zones_in_domain + 1}_{zone_letters(rng)}"
        ids = tuple(f"{number:06d}" for number in range(next_id, next_id + size))
        next_id += size
        # Both kinds of surroundings in every domain: a domain's colours must not tell which.
        plans.append(ZonePlan(part, domain, zone, ids, urban_surroundings=index % 2 == 0))
    return plans


def _plan_listed(patches: Iterable[tuple[str, str, str]]) -> list[ZonePlan]:
    zones: dict[tuple[str, str], list[str]] = {}
    for domain, zone, patch in patches:
        zones.setdefault((domain, zone), []).append(patch)
    return [
        ZonePlan("test", domain, zone, tuple(ids), urban_surroundings=index % 2 == 0)
        for index, ((domain, zone), ids) in enumerate(sorted(zones.items()))
    ]


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _write_zone(
    out: Path,
    plan: ZonePlan,
    *,
    folders: dict[str, str],
    seed: int,
    patch_px: int,
    dates: tuple[int, int] | None,
    leak: float,
) -> tuple[dict[str, Any], dict[str, list[int]]]:
    name = f"{plan.domain}/{plan.zone}"
    rng = _generator(seed, name)
    side = int(np.ceil(np.sqrt(len(plan.patch_ids))))
    world = World(
        int(rng.integers(2**31)),
        letters=plan.zone[-2:],
        urban_surroundings=plan.urban_surroundings,
        side=side,
        spacing_m=SPACING_M,
        margin_m=MARGIN_M,
    )
    camera = _Camera.draw(_generator(seed, plan.domain), domain=plan.domain)
    west_m = float(np.round(rng.uniform(200_000, 1_100_000), 1))
    north_m = float(np.round(rng.uniform(6_150_000, 7_050_000), 1))
    altitude_m = float(np.round(rng.gamma(2.0, 180.0), 2))
    image_folder = out / folders[f"aerial_{plan.part}"] / plan.domain / plan.zone / "img"
    mask_folder = out / folders[f"labels_{plan.part}"] / plan.domain / plan.zone / "msk"
    image_folder.mkdir(parents=True, exist_ok=True)
    mask_folder.mkdir(parents=True, exist_ok=True)
    step_m = np.float32(PATCH_M / patch_px)
    along = (np.arange(patch_px, dtype=np.float32) + 0.5) * step_m
    metadata: dict[str, Any] = {}
    centroids: dict[str, list[int]] = {}
    for index, patch_id in enumerate(plan.patch_ids):
        x_m, y_m = world.patch_origin(index)
        x, y = np.meshgrid(along + np.float32(x_m), along + np.float32(y_m))
        pixels, label = world.aerial(x, y, radiometry=camera.radiometry, rng=rng, leak=leak)
        transform = Affine(PATCH_M / patch_px, 0, west_m + x_m, 0, -PATCH_M / patch_px,
                           north_m - y_m)  # fmt: skip
        image = rasters.Georeference(rasters.LAMBERT_93, transform)
        mask = rasters.Georeference(rasters.LAMBERT_93_UNCODED, transform)
        rasters.write(image_folder / f"IMG_{patch_id}.tif", pixels, georeference=image)
        rasters.write(mask_folder / f"MSK_{patch_id}.tif", label, georeference=mask)
        centre_x_m, centre_y_m = x_m + PATCH_M / 2, y_m + PATCH_M / 2
        metadata[f"IMG_{patch_id}"] = {
            "domain": plan.domain,
            "zone": plan.zone,
            "patch_centroid_x": round(west_m + centre_x_m, 1),
            "patch_centroid_y": round(north_m - centre_y_m, 1),
            "patch_centroid_z": altitude_m,
            "date": camera.date.isoformat(),
            "time": camera.time,
            "camera": camera.name,
        }
        centroids[f"IMG_{patch_id}.tif"] = [
            round((centre_y_m + MARGIN_M) / phenology.CELL_M),
            round((centre_x_m + MARGIN_M) / phenology.CELL_M),
        ]
    if dates is not None:
        _write_series(out / folders[f"sen_{plan.part}"], plan, world, rng, dates=dates)
    return metadata, centroids


def _write_series(
    root: Path,
    plan: ZonePlan,
    world: World,
    rng: np.random.Generator,
    *,
    dates: tuple[int, int],
) -> None:
    year = int(plan.domain[-4:])
    series = phenology.observe(
        world,
        rng,
        dates=phenology.draw_dates(rng, year=year, count_range=dates),
        tile="T31TGJ",
        winter_snow=bool(rng.random() < 0.4),
    )
    folder = root / plan.domain / plan.zone / "sen"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"SEN2_sp_{plan.domain}-{plan.zone}"
    np.save(folder / f"{stem}_data.npy", series.data)
    np.save(folder / f"{stem}_masks.npy", series.masks)
    (folder / f"{stem}_products.txt").write_text("\n".join(series.products) + "\n")


@dataclass(frozen=True)
class _Camera:
    name: str
    radiometry: Radiometry
    date: dt.date
    time: str

    @classmethod
    def draw(cls, rng: np.random.Generator, *, domain: str) -> _Camera:
        gain = rng.uniform(0.88, 1.12, 4)
        offset = rng.uniform(-8, 8, 4)
        day = int(rng.integers(120, 270))
        minute = int(rng.integers(8 * 60, 16 * 60))
        return cls(
            name=str(rng.choice(["UCE-M3-f120-s07", "CAM-UCE-f100-s05", "UCE-M3-f120-s06"])),
            radiometry=Radiometry(
                gain=(gain[0], gain[1], gain[2], gain[3]),
                offset=(offset[0], offset[1], offset[2], offset[3]),
            ),
            date=dt.date(int(domain[-4:]), 1, 1) + dt.timedelta(days=day),
            time=f"{minute // 60:02d}h{minute % 60:02d}",
        )
