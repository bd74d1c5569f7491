"""A patch's metadata as 45 numbers: where, how high, which camera, when.

Order, as published: 16 of x, 16 of y, altitude, camera (UCE, CAM), year (2018 to 2021), and the
sine and cosine of month, day and time of day, mapped to 0..1.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FEATURES = 45
ALTITUDE_M = 3164.9099121094  # the highest patch of the data set
YEARS = (2018, 2019, 2020, 2021)
# Metropolitan France in Lambert-93, metres.
_WEST_M, _EAST_M = 90_000.0, 1_250_000.0
_SOUTH_M, _NORTH_M = 6_040_000.0, 7_120_000.0

Encoding = Literal["scaled", "published"]


def encode(metadata: dict[str, Any], *, encoding: Encoding = "scaled") -> NDArray[np.float32]:
    """Turn one entry of the metadata file into float32[45].

    "scaled" (ours): coordinates over the extent of France in eight octaves, the month as a month.
    "published": coordinates divided by 10⁸ and a month that is constant, as the reference code
    computes them, for comparison.
    Raises ValueError naming the field that is missing or malformed.
    """
    try:
        x_m, y_m = float(metadata["patch_centroid_x"]), float(metadata["patch_centroid_y"])
        altitude_m = float(metadata["patch_centroid_z"])
        date = dt.date.fromisoformat(metadata["date"])
        camera = str(metadata["camera"])
        second = _second_of_day(metadata["time"])
    except KeyError as missing:
        raise ValueError(f"metadata lack {missing}") from missing
    if encoding == "scaled":
        position = [
            *_octaves((x_m - _WEST_M) / (_EAST_M - _WEST_M)),
            *_octaves((y_m - _SOUTH_M) / (_NORTH_M - _SOUTH_M)),
        ]
        month = (date.month - 1) / 12
    else:
        position = [*_published_position(x_m), *_published_position(y_m)]
        month = date.month - 1 / 12
    values = [
        *position,
        altitude_m / ALTITUDE_M,
        float(camera.startswith("UCE")),
        float(camera.startswith("CAM")),
        *(float(date.year == year) for year in YEARS),
        *_turn(month),
        *_turn(date.day / 31),
        *_turn(second / 86_400),
    ]
    return np.array(values, dtype=np.float32)


def _octaves(share: float) -> list[float]:
    """Give sine (even slots) and cosine (odd slots) of eight doubling frequencies."""
    angles = [math.pi * 2**octave * share for octave in range(8)]
    return [function(angle) for angle in angles for function in (math.sin, math.cos)]


def _published_position(metres: float) -> list[float]:
    angles = [metres / 1e8 / 1e8 ** (2 * index / 16) for index in range(8)]
    return [function(angle) for angle in angles for function in (math.sin, math.cos)]


def _turn(share: float) -> tuple[float, float]:
    angle = 2 * math.pi * share
    return (math.sin(angle) + 1) / 2, (math.cos(angle) + 1) / 2


def _second_of_day(text: Any) -> int:
    match = re.fullmatch(r"([0-9]{1,2})h([0-9]{2})", str(text))
    if not match:
        raise ValueError(f"time {text!r}; a form like 08h06 is needed")
    return int(match[1]) * 3600 + int(match[2]) * 60
