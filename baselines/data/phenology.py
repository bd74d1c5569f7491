"""What Sentinel-2 sees of the synthetic world: greenness over the year, clouds and snow.

Bands are B2 B3 B4 B5 B6 B7 B8 B8A B11 B12, reflectance × 10,000, cells of 10 m.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baselines.data.nomenclature import LABEL
from baselines.data.world import World

CELL_M = 10.0
BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")

_SPECTRA = {
    "soil": (900, 1200, 1600, 1900, 2100, 2300, 2500, 2600, 3200, 2800),
    "leaf": (300, 600, 350, 900, 2600, 3300, 3600, 3800, 1700, 800),
    "needle": (200, 350, 250, 600, 1500, 1800, 1900, 2000, 900, 400),
    "water": (500, 450, 300, 250, 200, 180, 150, 140, 60, 40),
    "roof": (1300, 1500, 1900, 2000, 2100, 2200, 2300, 2350, 2700, 2500),
    "road": (1100, 1200, 1300, 1350, 1400, 1450, 1500, 1550, 1900, 1800),
    "snow": (8500, 8400, 8300, 8100, 7900, 7600, 7400, 7200, 1200, 900),
    "plastic": (3800, 3900, 4000, 4000, 4100, 4100, 4100, 4000, 3200, 2700),
}

# label: bare spectrum, green spectrum, base greenness, added greenness, start and end day of year
_SEASONS: dict[str, tuple[str, str, float, float, int, int]] = {
    "building": ("roof", "leaf", 0.0, 0.0, 1, 365),
    "pervious": ("soil", "leaf", 0.0, 0.0, 1, 365),
    "impervious": ("road", "leaf", 0.0, 0.0, 1, 365),
    "bare_soil": ("soil", "leaf", 0.0, 0.0, 1, 365),
    "water": ("water", "leaf", 0.0, 0.0, 1, 365),
    "coniferous": ("soil", "needle", 0.9, 0.0, 1, 365),
    "deciduous": ("soil", "leaf", 0.15, 0.8, 105, 300),
    "brushwood": ("soil", "leaf", 0.4, 0.2, 100, 290),
    "vineyard": ("soil", "leaf", 0.45, 0.25, 80, 330),
    "herbaceous": ("soil", "leaf", 0.45, 0.25, 80, 330),
    "agricultural": ("soil", "leaf", 0.1, 0.85, 75, 185),
    "plowed": ("soil", "leaf", 0.02, 0.4, 255, 330),
    "swimming_pool": ("water", "leaf", 0.0, 0.0, 1, 365),
    "snow": ("snow", "leaf", 0.0, 0.0, 1, 365),
    "clear_cut": ("soil", "leaf", 0.2, 0.1, 120, 280),
    "mixed": ("soil", "leaf", 0.5, 0.4, 105, 300),
    "ligneous": ("soil", "leaf", 0.2, 0.6, 90, 310),
    "greenhouse": ("plastic", "leaf", 0.0, 0.1, 60, 300),
    "other": ("roof", "leaf", 0.1, 0.1, 100, 300),
}


@dataclass(frozen=True)
class Series:
    """A zone's satellite series, as the data set stores it."""

    data: NDArray[np.uint16]  # [T, 10, H, W] reflectance × 10,000
    masks: NDArray[np.uint8]  # [T, 2, H, W] snow and cloud probability, 0..100
    products: tuple[str, ...]  # T product names, the date in characters 11 to 18


def greenness(label_key: str, day_of_year: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the double-logistic greenness 0..1 of a label over days of the year.

    >>> [float(round(g, 2)) for g in greenness("deciduous", np.array([15.0, 200.0]))]
    [0.15, 0.95]
    """
    _, _, base, added, start, end = _SEASONS[label_key]
    rise = 1 / (1 + np.exp(-(day_of_year - start) / 9))
    fall = 1 / (1 + np.exp(-(day_of_year - end) / 12))
    return base + added * np.clip(rise - fall, 0, 1)


def signatures(days_of_year: NDArray[np.float64]) -> NDArray[np.float32]:
    """Give [T, 20, 10]: the reflectance × 10,000 of every label (row = label) on each day."""
    out = np.zeros((len(days_of_year), 20, len(BANDS)), dtype=np.float32)
    for key, (bare, green, *_) in _SEASONS.items():
        share = greenness(key, days_of_year)[:, None]
        mixed = (1 - share) * np.array(_SPECTRA[bare]) + share * np.array(_SPECTRA[green])
        out[:, LABEL[key]] = mixed
    return out


def draw_dates(
    rng: np.random.Generator, *, year: int, count_range: tuple[int, int]
) -> list[dt.date]:
    """Draw irregular acquisition dates of a year, in order; a leap year gets its 29 February."""
    count = int(rng.integers(count_range[0], count_range[1] + 1))
    first = dt.date(year, 1, 1)
    length = (dt.date(year + 1, 1, 1) - first).days
    days = set(rng.choice(length, min(count, length), replace=False).tolist())
    if length == 366 and 59 not in days:
        days.remove(min(days, key=lambda day: abs(day - 59)))
        days.add(59)
    return [first + dt.timedelta(days=int(day)) for day in sorted(days)]


def observe(
    world: World,
    rng: np.random.Generator,
    *,
    dates: list[dt.date],
    tile: str,
    winter_snow: bool,
) -> Series:
    """Let the satellite pass over a zone on the given dates."""
    side_cells = int(np.ceil((world.side * world.spacing_m + 2 * world.margin_m) / CELL_M))
    shares = _label_shares(world, side_cells=side_cells)
    days = np.array([date.timetuple().tm_yday for date in dates], dtype=np.float64)
    curves = signatures(days)
    shape = (side_cells, side_cells)
    data = np.empty((len(dates), len(BANDS), *shape), dtype=np.uint16)
    masks = np.zeros((len(dates), 2, *shape), dtype=np.uint8)
    snow_spectrum = np.array(_SPECTRA["snow"], dtype=np.float32)
    for index, date in enumerate(dates):
        seen = (shares @ curves[index]).reshape(*shape, len(BANDS))
        seen *= rng.normal(1, 0.03, size=(1, 1, len(BANDS))).astype(np.float32)
        seen += rng.standard_normal(seen.shape, dtype=np.float32) * 90
        if winter_snow and date.month in (1, 2, 12) and rng.random() < 0.5:
            cover = _drift(rng, side_cells=side_cells, amount=0.8)
            masks[index, 0] = np.round(cover * 100)
            seen += cover[..., None] * (snow_spectrum - seen)
        amount = rng.choice([0.0, 0.45, 0.95], p=[0.55, 0.25, 0.2])
        if amount > 0:
            cover = _drift(rng, side_cells=side_cells, amount=float(amount))
            masks[index, 1] = np.round(cover * 100)
            seen += cover[..., None] * (6500 - seen)
        data[index] = np.moveaxis(np.clip(seen, 0, 10_000), 2, 0)
    products = tuple(
        f"S2{'AB'[index % 2]}_MSIL2A_{date:%Y%m%d}T105021_N0300_R051_{tile}_{date:%Y%m%d}T135022"
        for index, date in enumerate(dates)
    )
    return Series(data=data, masks=masks, products=products)


def _label_shares(world: World, *, side_cells: int, samples: int = 3) -> NDArray[np.float32]:
    """Give [H·W, 20]: the share of each label in each cell, from samples × samples places."""
    side = side_cells * samples
    along = ((np.arange(side, dtype=np.float32) + 0.5) * np.float32(CELL_M / samples)) - np.float32(
        world.margin_m
    )
    x, y = np.meshgrid(along, along)
    label, _ = world.labels(x, y)
    cell = np.arange(side) // samples
    index = (cell[:, None] * side_cells + cell[None, :]) * 20 + label
    counts = np.bincount(index.ravel(), minlength=side_cells * side_cells * 20)
    shares = counts.reshape(-1, 20).astype(np.float32)
    shares /= samples**2
    return shares


def _drift(rng: np.random.Generator, *, side_cells: int, amount: float) -> NDArray[np.float32]:
    """Give a smooth field [H, W] in 0..1 of which about `amount` is near 1."""
    knots = rng.normal(0, 1, size=(7, 7)).astype(np.float32)
    at = np.linspace(0, 6 - 1e-4, side_cells, dtype=np.float32)
    low = at.astype(np.int32)
    part = at - low
    rows = knots[low] * (1 - part[:, None]) + knots[low + 1] * part[:, None]
    field = rows[:, low] * (1 - part) + rows[:, low + 1] * part
    threshold = np.quantile(field, 1 - amount)
    cover: NDArray[np.float32] = np.clip((field - threshold) * 4 + 0.8, 0, 1).astype(np.float32)
    return cover
