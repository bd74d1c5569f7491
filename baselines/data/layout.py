"""Find the files of a data set by their names, in whatever folders they lie.

Every published layout is read alike: FLAIR #1 (old, with img/ and msk/ side by side under train/
and test/, and new), FLAIR #2, the toys and the Hugging Face tree once its zips are unpacked. A
patch's domain and zone come from folder names; the part is "test" below a folder whose name holds
the word "test", else "train".

Other data sets are read by their task: images are called `IMG_<id>.tif`, masks `MSK_<id>.tif` or as
the task's `truth_pattern` says, and `ids.csv` in the root (columns patch, domain, zone, as in a
practice kit) says where patches lie whose folders have no names of FLAIR's.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoring.engine.task import specification as specs
from scoring.engine.task.specification import TaskSpec

_PATCH = re.compile(
    r"(?P<kind>IMG|MSK)_(?P<id>[A-Z0-9][A-Z0-9_.-]{0,127})\.tiff?", re.IGNORECASE | re.ASCII
)
_NUMBER = re.compile(r"[0-9]{6}", re.ASCII)
IDS = "ids.csv"
_SERIES = re.compile(
    r"SEN2_sp_(?P<domain>D[0-9]{3}_[0-9]{4})-(?P<zone>Z[0-9]+_[A-Z]{2})"
    r"_(?P<kind>data\.npy|masks\.npy|products\.txt)"
)
_DOMAIN = re.compile(r"D[0-9]{3}_[0-9]{4}")
_TEST = re.compile(r"(?<![a-z])test(?![a-z])", re.IGNORECASE)  # not "latest"
_ZONE = re.compile(r"Z[0-9]+_[A-Z]{2}")


@dataclass(frozen=True)
class SeriesFiles:
    """The three files of a zone's satellite series."""

    data: Path
    masks: Path
    products: Path


@dataclass(frozen=True)
class Patch:
    """One patch and its files; `mask` and `series` are None where the tree has none."""

    id: str
    domain: str
    zone: str
    part: str
    image: Path
    mask: Path | None
    series: SeriesFiles | None
    centroid: tuple[int, int] | None  # row, column in the zone's series
    metadata: dict[str, Any] | None


@dataclass(frozen=True)
class Index:
    """A tree's patches in the order of their ids, and sentences about what is missing."""

    root: Path
    patches: tuple[Patch, ...]
    missing: tuple[str, ...]

    @property
    def domains(self) -> tuple[str, ...]:
        """Give the domains present, sorted."""
        return tuple(sorted({patch.domain for patch in self.patches}))

    def of_domains(self, domains: list[str]) -> tuple[Patch, ...]:
        """Give the patches of some domains, in the order of their ids."""
        wanted = set(domains)
        return tuple(patch for patch in self.patches if patch.domain in wanted)


def index(root: Path, *, part: str | None = None, spec: TaskSpec | None = None) -> Index:
    """Index the tree below `root`; `part` keeps only "train" or "test".

    `spec` says which ids patches have and how their masks are called (None: FLAIR's numbers).

    Raises FileNotFoundError when the folder does not exist or holds no image, ValueError when
    two images have one id within a part, nothing says in which domain an image lies, or a JSON
    file or ids.csv is damaged.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder; give the root of the data set")
    images: dict[tuple[str, str], Path] = {}
    masks: dict[tuple[str, str], Path] = {}
    series: dict[tuple[str, str, str], dict[str, Path]] = {}
    metadata: dict[str, Any] = {}
    centroids: dict[str, Any] = {}
    zips = 0
    for path in _files(root):
        if named := _named(path, spec):
            kind, patch_id = named
            table = images if kind == "IMG" else masks
            key = (_part(path, root), patch_id)
            if key in table:
                raise ValueError(f"{path.name} is there twice: {table[key]} and {path}")
            table[key] = path
        elif match := _SERIES.fullmatch(path.name):
            files = series.setdefault((_part(path, root), match["domain"], match["zone"]), {})
            files[match["kind"].split(".")[0]] = path
        elif path.suffix == ".json" and "metadata" in path.name:
            metadata |= _read_json(path)
        elif path.suffix == ".json" and "centroids" in path.name:
            centroids |= _read_json(path)
        elif path.suffix == ".zip" and _DOMAIN.fullmatch(path.stem):
            zips += 1
    if not images:
        hint = f"; it holds {zips} zips of domains: unpack them first" if zips else ""
        raise FileNotFoundError(f"{root}: no {_wanted(spec)} below this folder{hint}")
    places = _places(root)
    patches = []
    for (its_part, patch_id), image in sorted(images.items(), key=lambda item: item[0][1]):
        if part is not None and its_part != part:
            continue
        domain, zone = places.get(patch_id) or _place(image)
        files = series.get((its_part, domain, zone), {})
        centre = centroids.get(f"IMG_{patch_id}.tif")
        patches.append(
            Patch(
                id=patch_id,
                domain=domain,
                zone=zone,
                part=its_part,
                image=image,
                mask=masks.get((its_part, patch_id)),
                series=SeriesFiles(**files) if len(files) == 3 else None,
                centroid=(int(centre[0]), int(centre[1])) if centre is not None else None,
                metadata=metadata.get(f"IMG_{patch_id}"),
            )
        )
    return Index(root=root, patches=tuple(patches), missing=tuple(_lacks(patches, zips=zips)))


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        yield from (Path(folder) / name for name in sorted(names) if not name.startswith("."))


def _named(path: Path, spec: TaskSpec | None) -> tuple[str, str] | None:
    """Give what a file is ("IMG" or "MSK") and its patch, by its name; None for another file."""
    match = _PATCH.fullmatch(path.name)
    if match and _is_id(match["id"], spec):
        return match["kind"].upper(), match["id"]
    if spec is None or path.suffix.lower() not in (".tif", ".tiff"):
        return None
    patch_id = spec.truth_id(path.stem)
    return None if patch_id is None else ("MSK", patch_id)


def _is_id(text: str, spec: TaskSpec | None) -> bool:
    """Tell whether predictions of a patch of that id would be recognised."""
    if spec is None:
        return _NUMBER.fullmatch(text) is not None
    return spec.prediction_id(Path(spec.prediction_name.replace("{id}", text)).stem) == text


def _wanted(spec: TaskSpec | None) -> str:
    if spec is None or _is_id("000001", spec):
        return "IMG_######.tif"
    return f"IMG_<id>.tif with an id of the task {spec.id!r}"


def _places(root: Path) -> dict[str, tuple[str, str]]:
    """Read domain and zone of each patch from the root's ids.csv, where there is one."""
    if not (root / IDS).is_file():
        return {}
    rows = specs.read_ids_csv(root / IDS, key=str(root / IDS))
    return {row.id: (row.domain, row.zone) for row in rows if row.domain}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except ValueError as wrong:
        raise ValueError(f"{path}: no JSON ({wrong})") from wrong
    if not isinstance(document, dict):
        raise ValueError(f"{path}: found a {type(document).__name__}; an object is needed")
    return document


def _part(path: Path, root: Path) -> str:
    folders = path.relative_to(root).parts[:-1]
    return "test" if any(_TEST.search(name) for name in folders) else "train"


def _place(image: Path) -> tuple[str, str]:
    """Read domain and zone from the names of the folders around an image."""
    domain = next((name for name in reversed(image.parts[:-1]) if _DOMAIN.fullmatch(name)), None)
    zone = next((name for name in reversed(image.parts[:-1]) if _ZONE.fullmatch(name)), None)
    if domain is None or zone is None:
        raise ValueError(
            f"{image}: needs folders like D004_2021 and Z10_AU above it, or a line in "
            f"{IDS} of the data set's root (columns patch, domain, zone)"
        )
    return domain, zone


def _lacks(patches: list[Patch], *, zips: int) -> Iterator[str]:
    for what, lacking in (
        ("mask", [patch for patch in patches if patch.mask is None]),
        (
            "complete Sentinel-2 series",
            [patch for patch in patches if patch.series is None],
        ),
        (
            "centroid in the series",
            [patch for patch in patches if patch.centroid is None],
        ),
        ("metadata", [patch for patch in patches if patch.metadata is None]),
    ):
        if lacking:
            yield (
                f"{len(lacking)} of {len(patches)} patches have no {what} (first: {lacking[0].id})"
            )
    if zips:
        yield f"{zips} zips of domains are not unpacked"
