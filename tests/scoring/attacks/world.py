"""The little challenge that the attacks are thrown at: FLAIR #1's rules, three patches."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from scoring.engine.task import specification as specs
from scoring.engine.truth import store
from tests.scoring.attacks import tiffs, zips
from tests.scoring.attacks.tiffs import Pixels

IDS = ("061713", "061714", "061715")
NAMES = tuple(f"PRED_{i}.tif" for i in IDS)
FIRST = NAMES[0]


def class_map(seed: int, *, low: int = 0, high: int = 12) -> Pixels:
    """Blocks of classes with noise, uint8[512, 512], every value from low to high present."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(low, high + 1, (32, 32), dtype=np.uint8)
    out = np.kron(blocks, np.ones((16, 16), dtype=np.uint8))
    noisy = rng.random(out.shape) < 0.03
    out[noisy] = rng.integers(low, high + 1, int(noisy.sum()), dtype=np.uint8)
    out[0, : high - low + 1] = np.arange(low, high + 1)
    return out


@dataclass(frozen=True)
class World:
    """Honest predictions, and archives made from them with something changed."""

    spec: specs.TaskSpec = field(default_factory=lambda: specs.load("flair-1"))

    @cached_property
    def pixels(self) -> dict[str, Pixels]:
        """Patch id → prediction."""
        return {i: class_map(n) for n, i in enumerate(IDS)}

    @cached_property
    def files(self) -> dict[str, bytes]:
        """File name → LZW TIFF as of the official sample."""
        return {f"PRED_{i}.tif": tiffs.by_gdal(p, compress="lzw") for i, p in self.pixels.items()}

    @property
    def first(self) -> Pixels:
        """The prediction of the first patch."""
        return self.pixels[IDS[0]]

    def items(self, **changed: bytes) -> list[zips.Item]:
        """The honest entries; keywords p0, p1, p2 replace the files of these patches."""
        contents = [changed.get(f"p{n}", self.files[name]) for n, name in enumerate(NAMES)]
        return [zips.Item(n.encode(), c) for n, c in zip(NAMES, contents, strict=True)]

    def archive(self, *extra: zips.Item, **changed: bytes) -> bytes:
        """The honest archive, with files replaced (p0=…) and entries added."""
        return zips.archive([*self.items(**changed), *extra])

    def with_first(self, pixels: Pixels) -> bytes:
        """The archive with other pixels in the first patch."""
        return self.archive(p0=tiffs.by_gdal(pixels, compress="lzw"))

    def write_truth(self, path: Path) -> None:
        """Pack a truth of the three patches."""
        patches = [specs.Patch(i, "D012_2019", "Z1_UU") for i in IDS]
        masks = [class_map(n + 50, low=1, high=19) for n in range(len(IDS))]
        store.from_arrays(zip(patches, masks, strict=True), path, spec=self.spec)
