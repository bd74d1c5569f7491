"""A synthetic countryside, analytic in metres: any place of a zone has a label, looks and a height.

Aerial pixels and sub-samples of the satellite's cells ask the same functions, so both see one
scene. What decides a class (see decision 060):

- colour alone: building, impervious, water, swimming pool, snow, greenhouse, other;
- texture: vineyard and plowed land (stripes), ligneous (dots), brushwood and clear cut (grain);
- height: buildings from paved ground, trees from grass;
- the series alone: deciduous, coniferous and mixed look alike from the air, so do herbaceous
  vegetation and agricultural land;
- surroundings alone: pervious surface and bare soil are the same earth to every sensor. Amid
  built-up surroundings it is pervious, amid woods bare soil, and those surroundings begin
  `CLUE_FROM_M` outside every aerial patch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baselines.data.nomenclature import LABEL

PATCH_M = 102.4  # a patch's side on the ground, whatever its size in pixels
PARCEL_M = 34.0
BLOCK_M = 120.0
LOT_M = 17.0
ROAD_HALF_WIDTH_M = 3.2
CLUE_FROM_M = 40.0  # so far around a patch nothing tells its surroundings

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]

# label: R, G, B, NIR (0..255), grain, stripes, height and its roughness in metres
_LOOKS: dict[str, tuple[float, float, float, float, float, float, float, float]] = {
    "building": (176, 112, 96, 120, 6, 0, 7.0, 1.0),
    "pervious": (182, 164, 136, 150, 9, 0, 0.0, 0.1),
    "impervious": (140, 140, 146, 110, 6, 0, 0.0, 0.1),
    "bare_soil": (182, 164, 136, 150, 9, 0, 0.0, 0.1),
    "water": (52, 78, 96, 22, 3, 0, 0.0, 0.0),
    "coniferous": (66, 96, 62, 150, 14, 0, 11.0, 3.0),
    "deciduous": (66, 96, 62, 150, 14, 0, 11.0, 3.0),
    "brushwood": (104, 122, 82, 160, 30, 0, 1.8, 0.7),
    "vineyard": (126, 130, 92, 165, 6, 26, 1.2, 0.3),
    "herbaceous": (112, 142, 88, 186, 6, 0, 0.2, 0.1),
    "agricultural": (112, 142, 88, 186, 6, 0, 0.2, 0.1),
    "plowed": (150, 122, 96, 130, 6, 16, 0.0, 0.1),
    "swimming_pool": (70, 188, 214, 60, 4, 0, 0.0, 0.0),
    "snow": (242, 244, 248, 225, 4, 0, 0.2, 0.1),
    "clear_cut": (136, 116, 92, 140, 34, 0, 0.4, 0.4),
    "mixed": (66, 96, 62, 150, 14, 0, 11.0, 3.0),
    "ligneous": (118, 136, 90, 175, 6, 30, 2.5, 0.5),
    "greenhouse": (214, 220, 222, 190, 5, 12, 4.0, 0.2),
    "other": (186, 96, 150, 90, 22, 0, 1.0, 1.0),
}

# What a parcel is, by the letter of its zone: shares need not sum to 1. "earth" turns into
# pervious surface or bare soil by the surroundings, "built" into houses among gardens.
_MIXES: dict[str, dict[str, float]] = {
    "U": {"built": 44, "earth": 15, "impervious": 10, "herbaceous": 12, "deciduous": 6,
          "coniferous": 3, "water": 4, "brushwood": 4, "other": 1},
    "A": {"agricultural": 30, "herbaceous": 16, "plowed": 14, "vineyard": 12, "earth": 12,
          "deciduous": 5, "built": 4, "greenhouse": 2, "ligneous": 3, "water": 3},
    "N": {"herbaceous": 24, "brushwood": 18, "earth": 16, "deciduous": 11, "coniferous": 8,
          "water": 11, "agricultural": 6, "snow": 2, "mixed": 2},
    "F": {"deciduous": 28, "coniferous": 22, "earth": 12, "herbaceous": 12, "brushwood": 9,
          "clear_cut": 5, "mixed": 4, "water": 3, "agricultural": 5},
}  # fmt: skip
_EARTH, _BUILT = 100, 101


def _table(column: int) -> Floats:
    table = np.zeros(256, dtype=np.float32)
    for key, look in _LOOKS.items():
        table[LABEL[key]] = look[column]
    return table


_COLOURS = np.stack([_table(band) for band in range(4)], axis=1)
_GRAIN, _STRIPES, _HEIGHT, _ROUGHNESS = (_table(column) for column in range(4, 8))


@dataclass(frozen=True)
class Radiometry:
    """How one domain's camera sees: factor and offset per band (R, G, B, NIR)."""

    gain: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    offset: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


class Cells:
    """A jittered grid of seeds over a square extent: parcels, or the blocks that roads bound."""

    def __init__(
        self, rng: np.random.Generator, *, cell_m: float, low_m: float, high_m: float
    ) -> None:
        """Cover [low_m, high_m]² with one seed per square of `cell_m`."""
        self.cell_m = cell_m
        self.low_m = low_m - 2 * cell_m
        self.side = int(np.ceil((high_m - low_m) / cell_m)) + 4
        grid = np.arange(self.side, dtype=np.float32)
        jitter = rng.uniform(0.1, 0.9, size=(2, self.side, self.side)).astype(np.float32)
        self.x = ((grid[None, :] + jitter[0]) * cell_m + self.low_m).ravel()
        self.y = ((grid[:, None] + jitter[1]) * cell_m + self.low_m).ravel()

    def __len__(self) -> int:
        return len(self.x)

    def nearest(self, x: Floats, y: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Give each place's nearest seed and how much farther the second one is, in metres."""
        column = np.clip(((x - self.low_m) / self.cell_m).astype(np.int32), 1, self.side - 2)
        row = np.clip(((y - self.low_m) / self.cell_m).astype(np.int32), 1, self.side - 2)
        home = row * np.int32(self.side) + column
        best = np.full(x.shape, np.inf, dtype=np.float32)
        second = best.copy()
        index = home.copy()
        for step in (-self.side - 1, -self.side, -self.side + 1, -1, 0, 1,
                     self.side - 1, self.side, self.side + 1):  # fmt: skip
            seed = home + np.int32(step)
            distance = (self.x[seed] - x) ** 2 + (self.y[seed] - y) ** 2
            nearer = distance < best
            np.minimum(second, np.maximum(distance, best), out=second)
            np.copyto(best, distance, where=nearer)
            np.copyto(index, seed, where=nearer)
        return index, np.sqrt(second) - np.sqrt(best)


class World:
    """One zone: a square of land with `side` × `side` patches at a regular spacing."""

    def __init__(
        self,
        seed: int,
        *,
        letters: str,
        urban_surroundings: bool,
        side: int,
        spacing_m: float,
        margin_m: float,
    ) -> None:
        """Draw the zone; coordinates run from -margin_m to side * spacing_m + margin_m."""
        rng = np.random.default_rng(seed)
        self.side, self.spacing_m, self.margin_m = side, spacing_m, margin_m
        extent = {"low_m": -margin_m, "high_m": side * spacing_m + margin_m}
        self.urban_surroundings = urban_surroundings
        self._parcels = Cells(rng, cell_m=PARCEL_M, **extent)
        self._blocks = Cells(rng, cell_m=BLOCK_M, **extent)
        self._lots = Cells(rng, cell_m=LOT_M, **extent)
        count = len(self._parcels)
        self._kind = _draw_kinds(rng, letters=letters, count=count)
        self._angle = rng.uniform(0, np.pi, count).astype(np.float32)
        self._tint = rng.normal(0, 5, size=(count, 4)).astype(np.float32)
        # What lies between the patches: built-up or woods, the only clue to what earth is.
        clue = ["impervious", "building"] if urban_surroundings else ["deciduous", "coniferous"]
        clues = rng.choice([LABEL[key] for key in clue], count).astype(np.uint8)
        self._between = np.where(rng.random(count) < 0.7, clues, 0).astype(np.uint8)
        lots = len(self._lots)
        self._lot_angle = rng.uniform(0, np.pi / 2, lots).astype(np.float32)
        self._lot_half = rng.uniform(3.0, 5.5, size=(2, lots)).astype(np.float32)
        self._lot_use = rng.random(lots).astype(np.float32)

    def patch_origin(self, index: int) -> tuple[float, float]:
        """Give the west and north edges (metres; y grows southwards) of patch `index`."""
        row, column = divmod(index, self.side)
        inset = (self.spacing_m - PATCH_M) / 2
        return column * self.spacing_m + inset, row * self.spacing_m + inset

    def labels(self, x: Floats, y: Floats) -> tuple[Labels, NDArray[np.int32]]:
        """Give the label 1..19 and the parcel of every place (metres, any shape)."""
        parcel, _ = self._parcels.nearest(x, y)
        _, to_edge = self._blocks.nearest(x, y)
        kind = self._kind[parcel]
        earth = LABEL["pervious"] if self.urban_surroundings else LABEL["bare_soil"]
        label = np.where(kind == _EARTH, np.uint8(earth), kind)
        built = kind == _BUILT
        if built.any():
            label[built] = self._gardens(x[built], y[built])
        between = self._between[parcel]
        np.copyto(label, between, where=(between > 0) & ~self._near_patch(x, y))
        label[to_edge < ROAD_HALF_WIDTH_M] = LABEL["impervious"]
        return label, parcel

    def _near_patch(self, x: Floats, y: Floats) -> NDArray[np.bool_]:
        """Tell which places lie in a patch or less than `CLUE_FROM_M` beside one."""
        inset = (self.spacing_m - PATCH_M) / 2 - CLUE_FROM_M
        near = np.ones(x.shape, dtype=bool)
        for along in (x, y):
            within = np.mod(along, self.spacing_m)
            near &= (within >= inset) & (within < self.spacing_m - inset)
            near &= (along >= 0) & (along < self.side * self.spacing_m)
        return near

    def _gardens(self, x: Floats, y: Floats) -> Labels:
        """Houses, some pools and paved yards among grass."""
        lot, gap = self._lots.nearest(x, y)
        east, south = x - self._lots.x[lot], y - self._lots.y[lot]
        cos, sin = np.cos(self._lot_angle[lot]), np.sin(self._lot_angle[lot])
        along, across = east * cos + south * sin, south * cos - east * sin
        house = (np.abs(along) < self._lot_half[0, lot]) & (np.abs(across) < self._lot_half[1, lot])
        use = self._lot_use[lot]
        label = np.full(x.shape, LABEL["herbaceous"], dtype=np.uint8)
        label[(use > 0.7) & (gap > 0.8)] = LABEL["impervious"]
        label[house & (use > 0.12)] = LABEL["building"]
        pool = (east**2 + (south * 1.6) ** 2 < 14) & (use <= 0.05)
        label[pool] = LABEL["swimming_pool"]
        return label

    def aerial(
        self,
        x: Floats,
        y: Floats,
        *,
        radiometry: Radiometry,
        rng: np.random.Generator,
        leak: float,
    ) -> tuple[NDArray[np.uint8], Labels]:
        """Photograph places [H, W]: uint8[5, H, W] (R, G, B, NIR, height × 5) and labels [H, W].

        `leak` in 0..1 lets a colour cue tell the look-alike classes apart a little.
        """
        label, parcel = self.labels(x, y)
        angle = self._angle[parcel]
        phase = x * np.cos(angle) + y * np.sin(angle)
        texture = np.sin(phase * np.float32(2 * np.pi / 5.2))
        dotted = label == LABEL["ligneous"]
        if dotted.any():
            across = (y * np.cos(angle) - x * np.sin(angle))[dotted]
            texture[dotted] *= np.sin(across * np.float32(2 * np.pi / 5.2))
        noise = rng.standard_normal(x.shape, dtype=np.float32)
        shade = texture * _STRIPES[label] + noise * _GRAIN[label]
        gain = np.asarray(radiometry.gain, dtype=np.float32)
        offset = np.asarray(radiometry.offset, dtype=np.float32)
        cue = _leaked_cue(leak)
        pixels = np.empty((5, *x.shape), dtype=np.uint8)
        for band in range(4):
            value = (_COLOURS[:, band] + cue)[label] + self._tint[:, band][parcel] + shade
            value *= gain[band]
            value += offset[band]
            pixels[band] = np.clip(value, 0, 255, out=value)
        bumps = np.sin(x * np.float32(1.1)) * np.sin(y * np.float32(0.9)) + 0.3 * noise
        height_m = _HEIGHT[label] + _ROUGHNESS[label] * bumps
        pixels[4] = np.clip(height_m * 5, 0, 255)
        return pixels, label


def _draw_kinds(rng: np.random.Generator, *, letters: str, count: int) -> NDArray[np.uint8]:
    """Draw what each parcel is from the mixes of both letters of a zone (`UN`, `AF` …)."""
    codes = {**LABEL, "earth": _EARTH, "built": _BUILT}
    shares: dict[str, float] = {}
    for letter, weight in zip(letters, (2.0, 1.0), strict=True):
        for key, share in _MIXES[letter].items():
            shares[key] = shares.get(key, 0.0) + weight * share
    weights = np.array(list(shares.values()))
    values = np.array([codes[key] for key in shares], dtype=np.uint8)
    return rng.choice(values, count, p=weights / weights.sum())


def _leaked_cue(leak: float) -> Floats:
    cue = np.zeros(256, dtype=np.float32)
    for key, shift in (("deciduous", 12), ("coniferous", -12), ("agricultural", 12)):
        cue[LABEL[key]] = leak * shift
    return cue


def zone_letters(rng: np.random.Generator) -> str:
    """Draw the two letters of a zone's name."""
    return "".join(rng.choice(list(_MIXES), 2))
