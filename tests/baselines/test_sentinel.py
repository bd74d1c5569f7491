"""Satellite series and metadata: dates, filter, monthly means, crops, encodings."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pytest
from numpy.typing import NDArray

from baselines.data import metadata, sentinel
from baselines.data.sentinel import SeriesOptions
from tests.shared_data import shared_data


def test_offsets_ignore_the_year() -> None:
    dates = [dt.date(2019, 5, 15), dt.date(2018, 3, 1), dt.date(2020, 3, 1), dt.date(2020, 2, 29)]
    assert sentinel.day_offsets(dates).tolist() == [0, 75, 75, 76]


def test_a_line_without_a_date_is_named() -> None:
    with pytest.raises(ValueError, match="line 2: no date in 'S2A_MSIL2A_2021XX15T'"):
        sentinel.parse_dates("S2A_MSIL2A_20210415T1\nS2A_MSIL2A_2021XX15T")


def test_dates_half_covered_are_filtered() -> None:
    masks = np.zeros((4, 2, 4, 4), dtype=np.uint8)
    masks[0, 1, :2] = 60  # half of the pixels: goes
    masks[1, 1, :2, :3] = 100  # less than half: stays
    masks[2, 1] = 59  # nowhere probable: stays
    masks[3, 0, :2], masks[3, 1, 2:] = 70, 70  # snow here, cloud there: goes
    assert sentinel.clear_dates(masks).tolist() == [1, 2]


def test_where_no_date_is_clear_the_clearest_stays() -> None:
    masks = np.full((3, 2, 4, 4), 100, dtype=np.uint8)
    masks[1, :, 0, 0] = 0
    assert sentinel.clear_dates(masks).tolist() == [1]


def test_monthly_means_are_dated_the_fifteenth() -> None:
    data = np.array([10, 20, 31, 40], dtype=np.int16).reshape(4, 1, 1, 1)
    dates = [dt.date(2021, 1, 3), dt.date(2021, 1, 30), dt.date(2021, 7, 2), dt.date(2021, 7, 9)]
    means, at = sentinel.monthly_means(data, dates)
    assert means.ravel().tolist() == [15, 36]
    assert at == [dt.date(2021, 1, 15), dt.date(2021, 7, 15)]


def test_a_crop_lies_around_its_centre() -> None:
    array = np.arange(60 * 70).reshape(60, 70)
    assert sentinel.crop(array, centre=(20, 25), cells=40)[20, 20] == array[20, 25]
    assert sentinel.crop(array, centre=(20, 20), cells=40).shape == (40, 40)


@pytest.mark.parametrize("centre", [(19, 30), (41, 30), (30, 19), (30, 51)])
def test_a_crop_that_leaves_the_array_is_refused(centre: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"leaves the array of 60 × 70 cells; at most 3[28] fit"):
        sentinel.crop(np.zeros((60, 70)), centre=centre, cells=40)


def test_the_crop_side_is_a_multiple_of_eight() -> None:
    with pytest.raises(ValueError, match="multiples of 8 from 8 to 112"):
        sentinel.crop(np.zeros((60, 70)), centre=(30, 30), cells=10)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.uint32, np.int64])
def test_any_integer_type_is_read(dtype: type) -> None:
    data: NDArray[np.integer] = np.full((2, 10, 8, 8), 1234, dtype=dtype)
    series, days = sentinel.make_series(
        data,
        np.zeros((2, 2, 8, 8), dtype=np.uint8),
        products="S2A_MSIL2A_20210515T1 S2B_MSIL2A_20210516T1",
        centre=(4, 4),
        options=SeriesOptions(crop_cells=8),
    )
    assert series.dtype == np.int16
    assert (series == 1234).all()
    assert days.tolist() == [0, -1]


def test_unfitting_parts_of_a_series_are_refused() -> None:
    masks = np.zeros((2, 2, 8, 8), dtype=np.uint8)
    options = {"centre": (4, 4), "options": SeriesOptions(crop_cells=8)}
    one = "S2A_MSIL2A_20210515T1"
    with pytest.raises(ValueError, match="1 products, 2 dates of data"):
        sentinel.make_series(np.zeros((2, 10, 8, 8), int), masks, products=one, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="integers"):
        sentinel.make_series(
            np.zeros((2, 10, 8, 8)),
            masks,
            products=f"{one} {one}",
            **options,  # type: ignore[arg-type]
        )


ENTRY = {
    "domain": "D004_2021", "zone": "Z8_NF", "patch_centroid_x": 924009.6,
    "patch_centroid_y": 6339451.2, "patch_centroid_z": 1661.94, "date": "2021-05-28",
    "time": "08h06", "camera": "UCE-M3-f120-s07",
}  # fmt: skip


def test_metadata_become_45_numbers() -> None:
    code = metadata.encode(ENTRY)
    assert code.shape == (45,)
    assert code.dtype == np.float32
    assert code[32] == pytest.approx(1661.94 / 3164.91, abs=1e-4)
    assert code[33:39].tolist() == [1, 0, 0, 0, 0, 1]
    month, day, second = 2 * np.pi * 4 / 12, 2 * np.pi * 28 / 31, 2 * np.pi * (8 * 60 + 6) / 1440
    expected = [(f(a) + 1) / 2 for a in (month, day, second) for f in (np.sin, np.cos)]
    assert code[39:].tolist() == pytest.approx(expected, abs=1e-6)


def test_the_published_encoding_hardly_varies_and_ours_does() -> None:
    """Why the coordinates are scaled and the month is a month."""
    rng = np.random.default_rng(0)
    entries = [
        ENTRY
        | {
            "patch_centroid_x": rng.uniform(2e5, 1.2e6),
            "patch_centroid_y": rng.uniform(6.1e6, 7.1e6),
            "date": f"2021-{rng.integers(3, 11):02d}-15",
        }
        for _ in range(50)
    ]
    ours = np.stack([metadata.encode(entry) for entry in entries])
    theirs = np.stack([metadata.encode(entry, encoding="published") for entry in entries])
    assert theirs[:, :32].std(axis=0).max() < 0.01
    assert theirs[:, 39:41].std(axis=0).max() < 1e-5
    assert ours[:, :32].std(axis=0).min() > 0.05
    assert ours[:, 39:41].std(axis=0).min() > 0.1


def test_malformed_metadata_are_named() -> None:
    with pytest.raises(ValueError, match="lack 'camera'"):
        metadata.encode({key: value for key, value in ENTRY.items() if key != "camera"})
    with pytest.raises(ValueError, match="time '8:06'"):
        metadata.encode(ENTRY | {"time": "8:06"})


def test_real_metadata_are_read() -> None:
    shared = shared_data()
    if shared is None:
        pytest.skip("the shared data are not beside this checkout")
    entries = json.loads((shared / "official_sample" / "flair-one_TOY_metadata.json").read_text())
    codes = np.stack([metadata.encode(entry) for entry in entries.values()])
    assert codes.shape == (250, 45)
    assert np.isfinite(codes).all()
    assert (codes[:, 33] + codes[:, 34] == 1).all(), "every real camera is UCE or CAM"
    assert (codes[:, 35:39].sum(axis=1) == 1).all()
