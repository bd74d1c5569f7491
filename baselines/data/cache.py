"""Patches decoded once into flat, memory-mapped files: what training reads, epoch after epoch.

A cache is a folder named after the digest of what it holds (files, their sizes and times, and the
options), so a changed tree or another option makes another one. It appears under its name only
when it is complete. Disk per patch of 512 px: 1.3 MB aerial, 0.26 MB mask, 32 kB a date. What is
written through a map is reserved before: on a full disk the system kills whoever writes there.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap, write_array_header_1_0
from numpy.typing import NDArray

from baselines.data import samples
from baselines.data.layout import Patch
from baselines.data.nomenclature import FLAIR_LABELS
from baselines.data.samples import Batch, Options

FORMAT = 2  # 2: dates are filtered by the sum of both shares
_Mapped = np.memmap[Any, np.dtype[Any]]
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Cache:
    """An opened cache; `gather` copies patches out of the mapped files."""

    def __init__(self, folder: Path) -> None:
        """Open a folder that `build` made.

        Raises FileNotFoundError when there is none, ValueError when it has another format.
        """
        self.folder = folder
        about = json.loads((folder / "about.json").read_text())
        if about["format"] != FORMAT:
            raise ValueError(f"{folder}: cache of format {about['format']}; this reads {FORMAT}")
        self.ids: tuple[str, ...] = tuple(about["ids"])
        self._flat = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r")
            for name in ("aerial", "mask", "metadata")
            if (folder / f"{name}.npy").exists()
        }
        self._series = self._days = self._starts = None
        if (folder / "series.npy").exists():
            self._series = np.load(folder / "series.npy", mmap_mode="r")
            self._days = np.load(folder / "days.npy")
            self._starts = np.load(folder / "starts.npy")

    def __len__(self) -> int:
        return len(self.ids)

    def gather(self, index: Sequence[int]) -> Batch:
        """Copy the patches of some positions."""
        chosen = list(index)
        batch: dict[str, NDArray[np.generic]] = {}
        for name, array in self._flat.items():
            out = np.empty((len(chosen), *array.shape[1:]), dtype=array.dtype)
            for row, position in enumerate(chosen):
                out[row] = array[position]
            batch[name] = out
        if self._series is not None and self._days is not None and self._starts is not None:
            runs = [slice(self._starts[at], self._starts[at + 1]) for at in chosen]
            batch |= samples.pad_series([(self._series[run], self._days[run]) for run in runs])
        return Batch(index=np.asarray(chosen, dtype=np.int64), **batch)  # type: ignore[arg-type]


def build(
    root: Path,
    patches: Sequence[Patch],
    *,
    options: Options,
    workers: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Cache:
    """Give the cache of these patches below `root`, made now if it isn't there.

    `on_progress` is told after each patch how many of how many are decoded; what it raises ends it.

    Raises ValueError naming the first patch that lacks what the options want, or saying that there
    is not enough free space for the cache.
    """
    if not patches:
        raise ValueError("no patch to cache")
    folder = root / f"cache-{_digest(patches, options=options)}"
    if folder.exists():
        return Cache(folder)
    root.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".cache-", dir=root))
    try:
        _write(
            part, patches, options=options, workers=workers or os.cpu_count() or 1,
            on_progress=on_progress,
        )  # fmt: skip
        try:
            part.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was quicker
                raise
    except OSError as wrong:
        if wrong.errno not in _NO_ROOM:
            raise
        raise ValueError(
            f"not enough free space for {len(patches)} decoded patches in {root} "
            f"({wrong.strerror}); "
            "free space or keep the cache elsewhere"
        ) from wrong
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Cache(folder)


def _digest(patches: Sequence[Patch], *, options: Options) -> str:
    wanted = asdict(options)
    if options.labels == FLAIR_LABELS or not options.masks:
        del wanted["labels"]  # so caches from before there were other tasks go on being found
    digest = hashlib.sha256(json.dumps([FORMAT, wanted]).encode())
    for patch in patches:
        files = [patch.image, patch.mask, *(asdict(patch.series).values() if patch.series else ())]
        stamps: list[Any] = [patch.id, patch.centroid, patch.metadata]
        for path in files:
            if path is not None:
                about = path.stat()
                stamps.append([str(path), about.st_size, about.st_mtime_ns])
        digest.update(json.dumps(stamps).encode())
    return digest.hexdigest()[:20]


def _write(
    folder: Path,
    patches: Sequence[Patch],
    *,
    options: Options,
    workers: int,
    on_progress: Callable[[int, int], None],
) -> None:
    """Decode with several threads (GDAL and numpy let go of the interpreter) into mapped files."""
    first = samples.read(patches[0], options=options)
    flat = {
        name: _reserved(folder / f"{name}.npy", value.dtype, shape=(len(patches), *value.shape))
        for name in ("aerial", "mask", "metadata")
        if (value := getattr(first, name)) is not None
    }

    def put(position: int) -> tuple[NDArray[np.int16], NDArray[np.float32]] | None:
        sample = samples.read(patches[position], options=options)
        for name, array in flat.items():
            value = getattr(sample, name)
            if value.shape != array.shape[1:]:
                raise ValueError(
                    f"patch {patches[position].id}: {name} is {value.shape}, "
                    f"the first patch's {array.shape[1:]}"
                )
            array[position] = value
        if sample.series is None or sample.days is None:
            return None
        return sample.series, sample.days

    all_days: list[NDArray[np.float32]] = []
    date_shape = None if first.series is None else first.series.shape[1:]
    with ThreadPoolExecutor(workers) as pool, (folder / "series.npy").open("wb") as frames:
        if date_shape is not None:
            frames.write(_header((0, *date_shape)))
        # A bounded run ahead: series of a whole data set don't fit into memory.
        for start in range(0, len(patches), 64):
            some = range(start, min(start + 64, len(patches)))
            for position, made in zip(some, pool.map(put, some), strict=True):
                if made is not None:
                    frames.write(made[0].tobytes())
                    all_days.append(made[1])
                on_progress(position + 1, len(patches))
        starts = np.concatenate([[0], np.cumsum([len(days) for days in all_days])]).astype(np.int64)
        if date_shape is not None:  # how many there are is known only now
            frames.seek(0)
            frames.write(_header((int(starts[-1]), *date_shape)))
    for array in flat.values():
        array.flush()
    if date_shape is None:
        (folder / "series.npy").unlink()
    else:
        np.save(folder / "starts.npy", starts)
        np.save(folder / "days.npy", np.concatenate(all_days))
    about = {"format": FORMAT, "ids": [patch.id for patch in patches], "options": asdict(options)}
    (folder / "about.json").write_text(json.dumps(about))


def _reserved(path: Path, dtype: np.dtype[Any], *, shape: tuple[int, ...]) -> _Mapped:
    """Make a mapped array for whose every byte there is room. Raises OSError where there isn't."""
    array: _Mapped = open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):  # not on every system
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _header(shape: tuple[int, ...]) -> bytes:
    """Give the head of a file of int16 frames; numpy makes it equally long for any number of them.

    Source: numpy's `lib.format`, which leaves space for the first axis to grow.
    """
    head = io.BytesIO()
    write_array_header_1_0(
        head, {"descr": np.dtype(np.int16).str, "fortran_order": False, "shape": shape}
    )
    return head.getvalue()
