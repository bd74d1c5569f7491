"""What a kit may hold beside images: when they were photographed, and series of satellite images.

Read where a source has them, in the layouts in which FLAIR's data come:

    *metadata*.json                      {"IMG_000717": {"date": "2021-05-28", …}}
    *dates*.csv                          or this, with the columns patch and date
    SEN2_sp_<domain>-<zone>_data.npy     integers [dates, bands, rows, columns] of a zone
    SEN2_sp_<domain>-<zone>_products.txt one product a date, named with its day (_20210415T…)
    *centroids*.json                     {"IMG_000717.tif": [row, column]} in the zone's array
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from challenge.errors import refuse
from challenge.rules.spreadsheet import write_csv

DATES_NAME = "dates.csv"
SERIES_FOLDER = "sentinel"
SUFFIXES = (".json", ".csv", ".npy", ".txt")
CROP_PX = 40  # of 10 m: four times the side of a patch of FLAIR, with its surroundings
MIN_BANDS = 3
_DAY = re.compile(r"_(\d{4})(\d\d)(\d\d)T", re.ASCII)


class Source(Protocol):
    """Where an organiser's files are read from."""

    def others(self) -> list[str]:
        """Return the names that end with one of ``SUFFIXES``."""

    def read(self, name: str) -> bytes:
        """Return a small file."""

    def array(self, name: str) -> NDArray[Any]:
        """Return an array of a ``.npy`` file. Raises ValueError or OSError."""


Identify = Callable[[str], str | None]  # a file's name without its ending → the patch


def dates(source: Source, *, identify: Identify) -> dict[str, str]:
    """Return the day on which patches were photographed, as ISO text, as far as it is told.

    Raises Refusal ``kit-extra-unusable``.
    """
    found: dict[str, str] = {}
    for name in source.others():
        path = PurePosixPath(name)
        word = path.stem.lower()
        if path.suffix == ".json" and "metadata" in word:
            rows = _json(source, name).items()
            told: list[tuple[Any, Any]] = [
                (key, one.get("date")) for key, one in rows if isinstance(one, Mapping)
            ]
        elif path.suffix == ".csv" and "dates" in word:
            told = [(row.get("patch"), row.get("date")) for row in _csv(source, name)]
        else:
            continue
        for key, value in told:
            patch = identify(PurePosixPath(str(key)).stem)
            if patch is not None and value:
                found[patch] = _iso(value, name)
    return found


def dates_csv(found: Mapping[str, str]) -> bytes:
    """Return ``dates.csv`` of a kit."""
    return write_csv(["patch", "date"], [[patch, found[patch]] for patch in sorted(found)]).encode()


def series(
    source: Source, patches: Sequence[Sequence[str]], *, identify: Identify
) -> Iterator[tuple[str, bytes, list[str]]]:
    """Yield (patch, ``.npy`` file, dates) of patches of whose zone there is a series.

    The crop has the patch in its middle, but where it would leave the zone's array. Raises Refusal
    ``kit-extra-unusable``.
    """
    names = {PurePosixPath(name).name: name for name in source.others()}
    centers: dict[str, tuple[int, int]] = {}
    for name in names.values():
        if "centroids" in PurePosixPath(name).stem.lower() and name.endswith(".json"):
            for key, value in _json(source, name).items():
                patch = identify(PurePosixPath(str(key)).stem)
                if patch is not None:
                    centers[patch] = _center(value, name)
    zones: dict[tuple[str, str], list[str]] = {}
    for patch, domain, zone in patches:
        if patch in centers:
            zones.setdefault((domain, zone), []).append(patch)
    for (domain, zone), members in zones.items():
        stem = f"SEN2_sp_{domain}-{zone}"
        data = names.get(f"{stem}_data.npy")
        if data is None:
            continue
        array = _zone_array(source, data)
        days = _days(source, names.get(f"{stem}_products.txt"), data, len(array))
        for patch in members:
            file = io.BytesIO()
            np.save(file, _crop(array, centers[patch]), allow_pickle=False)
            yield patch, file.getvalue(), days


def _crop(array: NDArray[Any], center: tuple[int, int]) -> NDArray[Any]:
    cuts = []
    for at, size in zip(center, array.shape[2:], strict=True):
        first = min(max(at - CROP_PX // 2, 0), max(size - CROP_PX, 0))
        cuts.append(slice(first, first + CROP_PX))
    return np.ascontiguousarray(array[:, :, cuts[0], cuts[1]])


def _zone_array(source: Source, name: str) -> NDArray[Any]:
    try:
        array = source.array(name)
    except (ValueError, OSError, EOFError, MemoryError) as error:
        raise _unusable(name, str(error)) from error
    if array.ndim != 4 or array.dtype.kind not in "iu" or array.shape[1] < MIN_BANDS:
        raise _unusable(name, f"{array.dtype} {list(array.shape)}")
    return array


def _days(source: Source, name: str | None, data: str, count: int) -> list[str]:
    if name is None:
        raise _unusable(data, "no _products.txt")
    lines = source.read(name).decode("utf-8", "replace").split()
    days = ["-".join(found.groups()) for line in lines if (found := _DAY.search(line))]
    if len(days) != count:
        raise _unusable(name, f"{len(days)} / {count}")
    return [_iso(one, name) for one in days]


def _center(value: Any, name: str) -> tuple[int, int]:
    try:
        row, column = (round(float(one)) for one in value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _unusable(name, repr(value)[:60]) from error
    return row, column


def _json(source: Source, name: str) -> Mapping[str, Any]:
    try:
        found = json.loads(source.read(name))
    except (ValueError, RecursionError) as error:
        raise _unusable(name, str(error)) from error
    if not isinstance(found, Mapping):
        raise _unusable(name, type(found).__name__)
    return found


def _csv(source: Source, name: str) -> list[dict[str, str]]:
    text = source.read(name).decode("utf-8-sig", "replace")
    return list(csv.DictReader(io.StringIO(text)))


def _iso(value: Any, name: str) -> str:
    try:
        return date.fromisoformat(str(value)[:10]).isoformat()
    except ValueError as error:
        raise _unusable(name, str(value)[:40]) from error


def _unusable(name: str, found: str) -> Exception:
    return refuse("kit-extra-unusable", file=name, found=found)
