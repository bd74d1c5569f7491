"""Layers of a patch's image, made of the bands that it has: true colour, near infrared, height."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

BANDS = ("red", "green", "blue", "near_infrared", "height")
TRUE_COLOR, NEAR_INFRARED, HEIGHT = "true-color", "near-infrared", "height"
# The bands that a layer shows as red, green and blue; one band alone gets colours of its own.
LAYERS = {
    TRUE_COLOR: ("red", "green", "blue"),
    NEAR_INFRARED: ("near_infrared", "red", "green"),
    HEIGHT: ("height",),
}
# From the ground to the highest: dark blue, green, yellow, white.
_HEIGHTS = ((0, 70, 160, 255), ((24, 60, 150, 255), (30, 140, 200, 255), (60, 90, 70, 255)))
MONTHS = 12
_BRIGHTEST = 3000.0  # reflectance × 10,000 that is shown white
_EMPTY = 128


def compose(pixels: NDArray[np.uint8], *, bands: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
    """Return each layer whose bands uint8[n, H, W] has, as uint8[1 or 3, H, W].

    ``bands`` name the bands in order, "" for one that no layer shows; without any, the first three
    are red, green and blue, and a single one is grey.
    """
    named = list(bands) or (["red", "green", "blue"] if len(pixels) >= 3 else [])
    places = {name: n for n, name in enumerate(named) if name and n < len(pixels)}
    layers = {
        layer: pixels[[places[band] for band in needed]]
        for layer, needed in LAYERS.items()
        if all(band in places for band in needed)
    }
    if HEIGHT in layers:
        layers[HEIGHT] = height_colors(layers[HEIGHT][0])
    return layers or {TRUE_COLOR: pixels[:1]}


def height_colors(height: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8[3, H, W]: the square root of the height spreads what is low."""
    spread = np.sqrt(height.astype(np.float64) / 255) * 255
    at, colors = _HEIGHTS
    return np.stack([np.interp(spread, at, one) for one in colors]).astype(np.uint8)


def shrink(pixels: NDArray[np.uint8], *, side_px: int) -> NDArray[np.uint8]:
    """Return uint8[n, h, w] of at most ``side_px`` rows and columns: means of whole blocks."""
    step = -(-max(pixels.shape[1:]) // side_px)
    if step == 1:
        return pixels
    height, width = (size // step for size in pixels.shape[1:])
    if not height or not width:
        return pixels[:, ::step, ::step]
    cut = pixels[:, : height * step, : width * step]
    means = cut.reshape(len(cut), height, step, width, step).mean(axis=(2, 4))
    shrunk: NDArray[np.uint8] = means.round().astype(np.uint8)
    return shrunk


def shrink_ids(ids: NDArray[np.uint8], *, side_px: int) -> NDArray[np.uint8]:
    """Return every n-th row and column of uint8[H, W]: class ids have no mean."""
    step = -(-max(ids.shape) // side_px)
    return ids[::step, ::step]


def strip_of_year(
    series: NDArray[np.integer], dates: Sequence[date]
) -> tuple[NDArray[np.uint8], list[int]]:
    """Return uint8[3, h, 12 * w], a picture for each month, and the months that have one.

    ``series`` is [dates, bands, h, w], reflectance × 10,000, whose first bands are blue, green and
    red. Of a month the date is shown that is darkest in blue, where clouds are bright.
    """
    height, width = series.shape[2:]
    strip = np.full((3, height, MONTHS * width), _EMPTY, dtype=np.uint8)
    months = []
    for month in range(1, MONTHS + 1):
        found = [n for n, day in enumerate(dates) if day.month == month]
        if not found:
            continue
        best = min(found, key=lambda n: float(series[n, 0].mean()))
        visible = series[best, 2::-1].astype(np.float64) / _BRIGHTEST * 255
        left = (month - 1) * width
        strip[:, :, left : left + width] = np.clip(visible, 0, 255).astype(np.uint8)
        months.append(month)
    return strip, months
