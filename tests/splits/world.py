"""A small challenge with real labels in eight zones, and archives that a real scorer scores."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from django.core.management import call_command
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from challenge.models import GroundTruth, Phase, Submission, Team
from challenge.services.challenges import challenges, splits
from challenge.workers import scoring
from scoring.engine.truth.split import CountedZones, Split
from tests.challenges import folders
from tests.challenges.test_install import write_mask
from tests.factories import make_archive, make_team, submit

# Patches by zone: one domain of four zones, one of two, two of one.
ZONES = {
    f"{domain}/Z{zone}_UU": domain
    for domain, zones in {"D002_2021": 4, "D004_2021": 2, "D006_2021": 1, "D008_2021": 1}.items()
    for zone in range(1, zones + 1)
}
PATCHES = {f"{n:06}": zone for n, zone in enumerate([z for z in ZONES for _ in range(2)], start=1)}
IDS = "domain,zone,patch\n" + "".join(
    f"{zone.replace('/', ',')},{patch}\n" for patch, zone in PATCHES.items()
)
SIDE_PX = 8


@dataclass
class SplitWorld:
    """The challenge "tiny", its masks in a folder, LABELS_DIR and EVIDENCE_DIR beside it."""

    folder: Path
    masks: Path

    @property
    def labels_dir(self) -> Path:
        return self.folder / "store"

    @property
    def evidence_dir(self) -> Path:
        return self.folder / "evidence"

    @property
    def phase(self) -> Phase:
        return Phase.objects.select_related("challenge", "ground_truth", "task_spec").get(
            challenge__slug="tiny", slug="test"
        )

    @property
    def truth(self) -> GroundTruth:
        truth = self.phase.ground_truth
        assert truth is not None
        return truth

    @property
    def split(self) -> Split:
        return splits.load(self.truth, folder=self.labels_dir)

    def ids(self, zones: CountedZones) -> list[str]:
        return self.split.ids(PATCHES, zones=zones)

    def install(self, *words: str) -> str:
        """Run the command; one pixel makes a step, so that something shows of so small labels."""
        out = io.StringIO()
        steps = ("--pixels-per-step", "1")
        call_command(
            "install_ground_truth", "tiny", "--labels", str(self.masks), *steps, *words, stdout=out
        )
        return out.getvalue()

    def submit(
        self, team: Team | None = None, *, wrong_px: dict[str, int] | None = None, method: str = "m"
    ) -> Submission:
        """Submit the labels themselves with the first ``wrong_px`` pixels of patches wrong."""
        archive = make_archive(self.archive(wrong_px or {}))
        team = team or make_team(self.phase.challenge)
        return submit(team, self.phase, archive=archive, method=method)

    def archive(self, wrong_px: dict[str, int]) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for patch in PATCHES:
                pixels = mask(patch) - 1
                pixels.reshape(-1)[: wrong_px.get(patch, 0)] ^= 1
                archive.writestr(f"PRED_{patch}.tif", tiff(pixels))
        return packed.getvalue()

    def score(self) -> int:
        """Score what waits, as a worker does."""
        return int(scoring.score())


def mask(patch: str) -> np.ndarray:
    """uint8[8, 8] of the labels 1 (land) and 2 (water), other ones in each patch."""
    return np.random.default_rng(int(patch)).integers(1, 3, (SIDE_PX, SIDE_PX), dtype=np.uint8)


def tiff(pixels: np.ndarray) -> bytes:
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            height=SIDE_PX,
            width=SIDE_PX,
            count=1,
            dtype="uint8",
            transform=Affine.scale(2, -2),  # any: without one, rasterio warns
        ) as raster:
            raster.write(pixels, 1)
        return bytes(memory.read())


def write_masks(root: Path) -> None:
    for patch, zone in PATCHES.items():
        write_mask(root / zone / "msk" / f"MSK_{patch}.tif", mask(patch))


def make_split_world(folder: Path) -> SplitWorld:
    """Load the challenge and write its masks; the caller sets LABELS_DIR and EVIDENCE_DIR."""
    tiny = folders.write(folder / "tiny")
    (tiny / "ids.csv").write_text(IDS)
    toml = (tiny / "challenge.toml").read_text()
    (tiny / "challenge.toml").write_text(toml.replace("patches = 2", f"patches = {len(PATCHES)}"))
    challenges.load(tiny)
    world = SplitWorld(folder, folder / "masks")
    write_masks(world.masks)
    return world
