"""Sentinel-2 series: dates, the filter of clouds and snow, monthly means, crops.

Arrays are data [T, 10, H, W] of any integer type (reflectance × 10,000) and masks [T, 2, H, W]
(snow and cloud probability, 0..100). Source: the second FLAIR paper; where its sentence and its
code disagree, the code.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

REFLECTANCE_SCALE = 10_000
PROBABLE = 60  # a pixel is covered from this probability of snow or cloud on
COVERED_SHARE = 0.5  # a date goes when the shares of snow and of cloud add up to this
MAX_VALUE = np.iinfo(np.int16).max
CROP_CELLS = tuple(range(8, 113, 8))


@dataclass(frozen=True)
class SeriesOptions:
    """How a patch's series is made: side of the crop in cells, FILT and AVG M of the paper."""

    crop_cells: int = 40
    filter: bool = False
    monthly: bool = False


def parse_dates(products: str) -> list[dt.date]:
    """Read the dates (characters 11 to 18) of a text of product names, one a line.

    Raises ValueError with the line that holds no date.

    >>> parse_dates("S2A_MSIL2A_20200229T105021_N0214_R051_T31TGJ_x")
    [datetime.date(2020, 2, 29)]
    """
    dates = []
    for number, line in enumerate(products.split(), start=1):
        try:
            dates.append(dt.datetime.strptime(line[11:19], "%Y%m%d").date())  # noqa: DTZ007
        except ValueError as wrong:
            raise ValueError(f"line {number}: no date in {line!r}") from wrong
    return dates


def day_offsets(dates: Sequence[dt.date]) -> NDArray[np.float32]:
    """Give 15 May minus each date in days, the year ignored: +134 (1 January) to −230.

    29 February counts as the 28th: the offsets are those of a common year.

    >>> day_offsets([dt.date(2018, 1, 1), dt.date(2020, 2, 29), dt.date(2021, 12, 31)]).tolist()
    [134.0, 76.0, -230.0]
    """
    reference = dt.date(2021, 5, 15)
    return np.array(
        [
            (reference - dt.date(2021, date.month, 28 if _is_leap_day(date) else date.day)).days
            for date in dates
        ],
        dtype=np.float32,
    )


def _is_leap_day(date: dt.date) -> bool:
    return (date.month, date.day) == (2, 29)


def clear_dates(masks: NDArray[np.integer]) -> NDArray[np.intp]:
    """Give the dates to keep of masks [T, 2, H, W]: snow's and cloud's share below a half together.

    The shares are added, as the reference code does: a pixel that is probably both counts twice.
    Where no date is clear, the one with the fewest covered pixels is kept: a patch without any
    date could not be classified.
    """
    covered = (masks >= PROBABLE).mean(axis=(2, 3)).sum(axis=1)
    kept = np.flatnonzero(covered < COVERED_SHARE)
    return kept if kept.size else np.array([int(np.argmin(covered))])


def monthly_means(
    data: NDArray[np.integer], dates: Sequence[dt.date]
) -> tuple[NDArray[np.int16], list[dt.date]]:
    """Average [T, C, H, W] within calendar months, dated the 15th; at most twelve dates."""
    months = np.array([date.month for date in dates])
    present = np.unique(months)
    means = [
        np.rint(data[months == month].mean(axis=0, dtype=np.float32)).astype(np.int16)
        for month in present
    ]
    year = dates[0].year
    return np.stack(means), [dt.date(year, int(month), 15) for month in present]


def crop(array: NDArray[Any], *, centre: tuple[int, int], cells: int) -> NDArray[Any]:
    """Give the window [..., cells, cells] around a centre (row, column), as a view.

    Raises ValueError when the window leaves the array or its side is not allowed.
    """
    if cells not in CROP_CELLS:
        raise ValueError(f"crop of {cells} cells; allowed are multiples of 8 from 8 to 112")
    top, left = centre[0] - cells // 2, centre[1] - cells // 2
    height, width = array.shape[-2:]
    if top < 0 or left < 0 or top + cells > height or left + cells > width:
        fitting = 2 * min(centre[0], centre[1], height - centre[0], width - centre[1])
        raise ValueError(
            f"a crop of {cells} cells around row {centre[0]}, column {centre[1]} leaves the "
            f"array of {height} × {width} cells; at most {max(fitting // 8 * 8, 0)} fit there"
        )
    return array[..., top : top + cells, left : left + cells]


def make_series(
    data: NDArray[Any],
    masks: NDArray[Any],
    *,
    products: str,
    centre: tuple[int, int],
    options: SeriesOptions,
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Give a patch's series int16[T, 10, cells, cells] and its day offsets float32[T].

    Raises ValueError when dates and arrays don't fit each other or values are no integers.
    """
    dates = parse_dates(products)
    if len(dates) != len(data) or len(dates) != len(masks):
        raise ValueError(
            f"{len(dates)} products, {len(data)} dates of data, {len(masks)} of masks: must be one"
        )
    if not np.issubdtype(data.dtype, np.integer):
        raise ValueError(f"series of type {data.dtype}; integers (reflectance × 10,000) are needed")
    window = crop(data, centre=centre, cells=options.crop_cells)
    if options.filter:
        kept = clear_dates(crop(masks, centre=centre, cells=options.crop_cells))
        window, dates = window[kept], [dates[index] for index in kept]
    series = np.clip(window, 0, MAX_VALUE).astype(np.int16)
    if options.monthly:
        series, dates = monthly_means(series, dates)
    return series, day_offsets(dates)
