"""How fast is the engine? Measures it against its floor and the reference method, in one run.

Data are synthetic: up to 150 distinct patches, used in turn for as many patches as are asked for,
with the first real ids of FLAIR #1. Each method runs in a process of its own, pinned to its cores,
imports and compilation done before its clock starts; the best of several runs counts, those of the
engine on one core and on all taken in turn. What a score costs whatever its size (forks, lock-down,
first touch of memory, card, bootstrap, evidence) is measured on a few patches and separated from
the cost of a patch; on the clock, of each stretch of 250 patches the best of all repeats counts, on
one core and on all alike. The floor is the quicker of the two usual ways to unzip and decode.
Ratios on one core are ratios of processor time, which on an idle core is the time on the clock and
on a busy machine still means something; the speed-up by more cores is by the clock. Memory is
sampled over the scorer and its decoders together. What the machine itself gains by its other cores
is measured on processes that share nothing, one a core: no scorer can gain more.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.bench import processes
from scoring.bench.processes import Data, Job, Measurement
from scoring.engine import synthetic
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import Patch, TaskSpec
from scoring.engine.truth import store

DISTINCT_PATCHES = 150
REFERENCE_PATCHES = 60
FEW_PATCHES = 8  # at least; of many patches, enough to touch every slot of every decoder
MOST_FEW_PATCHES = 64
GAIN_EVERY = 4
STRIP_ROWS = 128
_HEAD = f"{'method':<44}  total, s  fixed, s  ms/patch  CPU, ms  / floor"
TARGETS = {
    "one core / floor": ("at most", 1.25),
    "reference / one core": ("at least", 20.0),
    "one core / all cores": ("at least", 1.8),
    "peak memory, MB": ("at most", 400.0),
    "start to first patch, s": ("at most", 1.0),
}


def run(
    *,
    patches: int,
    uncompressed: bool = False,
    spec: TaskSpec | None = None,
    repeats: int | None = None,
) -> dict[str, Any]:
    """Make the data, measure, and return all results as a JSON document.

    Of ``repeats`` runs the best counts; by default forty, fewer where each takes long: on a shared
    machine both cores are seldom left alone at once.
    """
    if patches <= FEW_PATCHES:
        raise ValueError(f"{patches} patches; at least {FEW_PATCHES + 1} are needed")
    task = spec or specs.load("flair-1")
    with tempfile.TemporaryDirectory(prefix="scoring-bench-") as name:
        folder = Path(name)
        _log(f"making {patches:,} patches")
        listed = synthetic.patches(task, count=patches)
        sizes = _make(folder, listed, spec=task, uncompressed=uncompressed)
        (folder / "few").mkdir()
        few = listed[: max(FEW_PATCHES, min(MOST_FEW_PATCHES, patches // 8))]
        _make(folder / "few", few, spec=task, uncompressed=uncompressed)
        results = _measure(
            _data(folder, listed, task),
            _data(folder / "few", few, task),
            repeats=repeats or max(3, min(40, 24_000 // patches)),
        )
        return results | {"data": sizes}


def _data(folder: Path, listed: Sequence[Patch], spec: TaskSpec) -> Data:
    return {
        "zip": str(folder / "predictions.zip"),
        "truth": str(folder / "truth.pack"),
        "masks": str(folder / "masks"),
        "spec": spec.to_json(),
        "ids": [patch.id for patch in listed],
    }


def table(results: Mapping[str, Any]) -> str:
    """The results as text."""
    data = results["data"]
    lines = [
        f"{data['patches']:,} patches, {results['cores']} cores",
        f"rasters {data['codec']}, {data['raster_bytes_mean'] / 1000:.1f} KB on average",
        f"archive {data['zip_bytes'] / 1e6:,.0f} MB",
        "",
        _HEAD,
    ]
    for name, row in results["methods"].items():
        ratio = row["cpu_ms_per_patch"] / results["floor_cpu_ms"]
        lines.append(
            f"{name:<44} {row['seconds']:9.2f} {row['fixed_s']:9.2f} {row['ms_per_patch']:9.3f} "
            f"{row['cpu_ms_per_patch']:8.3f} {ratio:8.2f}"
        )
    gain = results["machine_gain"]
    if gain is not None:
        label = f"{results['cores']} cores against one, sharing nothing"
        lines += ["", f"{label:<44} {gain:8.2f}   what this machine gives at the best"]
    lines += ["", f"{'target':<44} {'found':>8}"]
    for name, (bound, wanted) in TARGETS.items():
        value = results["targets"][name]
        met = "-" if value is None else ("met" if _is_met(value, bound, wanted) else "MISSED")
        shown = "-" if value is None else f"{value:.2f}"
        lines.append(f"{name:<44} {shown:>8}   {bound} {wanted:g}: {met}")
    lines += ["", "where one patch's time goes, ms (one process, steps one after the other)"]
    lines += [f"  {name:<42} {value:8.3f}" for name, value in results["profile_ms"].items()]
    lines += ["", *(f"{name:<44} {value:>8}" for name, value in results["sizes"].items())]
    return "\n".join(lines)


def _measure(whole: Data, few: Data, *, repeats: int) -> dict[str, Any]:
    cores = sorted(os.sched_getaffinity(0))
    n = len(whole["ids"])

    def plain(method: str, data: Data) -> Measurement:
        _log(method)
        job: Job = {**data, "method": method, "workers": 1}
        runs = [processes.start(job, cores[:1]) for _ in range(min(repeats, 3))]
        best = min(runs, key=lambda run: run["cpu_s"])
        each_s = best["seconds"] / best["patches"]
        return best | {
            "seconds": each_s * n,
            "fixed_s": 0.0,
            "ms_per_patch": 1000 * each_s,
            "cpu_ms_per_patch": 1000 * best["cpu_s"] / best["patches"],
        }

    def engines() -> tuple[list[Measurement], float | None]:
        """On one core and on all, in turn, so that a busy moment does not hit only one of them.

        In between, what the cores do that share nothing: the same moments for both.
        """
        settings = [cores[:1], cores] if len(cores) > 1 else [cores]
        wholes: list[list[Measurement]] = [[] for _ in settings]
        smalls: list[list[Measurement]] = [[] for _ in settings]
        alone: list[Measurement] = []
        beside: list[list[Measurement]] = []
        for turn in range(repeats):
            for i, on in enumerate(settings):
                if not turn:
                    _log(f"engine on {len(on)} cores, {repeats} times")
                for data, runs in ((whole, wholes[i]), (few, smalls[i])):
                    engine_job: Job = {**data, "method": "engine", "workers": len(on)}
                    runs.append(processes.start(engine_job, on))
            if len(settings) > 1 and turn % GAIN_EVERY == 0:
                job: Job = {**whole, "method": "floor-own", "workers": 1}
                alone.append(processes.start(job, cores[:1]))
                beside.append(processes.start_together([(job, [core]) for core in cores]))
        beyond = n - len(few["ids"])
        slopes = [
            _slope(*runs, patches=n, beyond=beyond) for runs in zip(wholes, smalls, strict=True)
        ]
        return slopes, _gain(alone, beside) if beside else None

    sample: Data = {**whole, "ids": whole["ids"][:REFERENCE_PATCHES]}
    gdal, pillow = plain("floor-gdal", whole), plain("floor-pillow", whole)
    own = plain("floor-own", whole)
    (one_core, *more), gain = engines()
    all_cores = more[0] if more else None
    reference = plain("reference", sample)
    _log("where the time goes, memory, start")
    profile = processes.start({**whole, "method": "profile", "workers": 1}, cores[:1])
    start_s, peak_bytes = processes.run_child(whole)
    del profile["cpu_s"]
    floor_ms = min(gdal["cpu_ms_per_patch"], pillow["cpu_ms_per_patch"])
    one_ms = one_core["cpu_ms_per_patch"]
    methods = {
        "floor: zipfile and GDAL": gdal,
        "floor: zipfile and Pillow": pillow,
        "the engine's own inflater and LZW alone": own,
        "engine, one core, isolated": one_core,
        f"engine, {len(cores)} cores, isolated": all_cores,
        "reference: Pillow and scikit-learn, scaled": reference,
    }
    return {
        "cores": len(cores),
        "floor_cpu_ms": floor_ms,
        "machine_gain": gain,
        "methods": {name: row for name, row in methods.items() if row is not None},
        "targets": {
            "one core / floor": one_ms / floor_ms,
            "reference / one core": reference["cpu_ms_per_patch"] / one_ms,
            "one core / all cores": all_cores
            and one_core["ms_per_patch"] / all_cores["ms_per_patch"],
            "peak memory, MB": peak_bytes / 1e6,
            "start to first patch, s": start_s,
        },
        "profile_ms": profile,
        "sizes": {"evidence, bytes": int(one_core["evidence_bytes"])},
    }


def _slope(
    wholes: Sequence[Mapping[str, Any]],
    smalls: Sequence[Mapping[str, Any]],
    *,
    patches: int,
    beyond: int,
) -> dict[str, Any]:
    """The best run, and what a patch costs.

    On the clock: of each stretch of the run the best of all repeats, for a neighbour on a shared
    machine spoils a stretch, and always some stretch of a long run. In processor time, and on the
    clock where there are too few patches for stretches: what each of the `beyond` patches costs
    that the best run of the few had not.
    """

    def least(metric: str) -> tuple[float, float]:
        whole, small = (min(run[metric] for run in runs) for runs in (wholes, smalls))
        return whole, (whole - small) / beyond

    seconds, each_s = least("seconds")
    _, each_cpu_s = least("cpu_s")
    stretches = zip(*(run["stretches_s"] for run in wholes), strict=True)
    each_s = statistics.fmean([min(repeated) for repeated in stretches] or [each_s])
    return dict(wholes[0]) | {
        "seconds": seconds,
        "fixed_s": seconds - each_s * patches,
        "ms_per_patch": 1000 * each_s,
        "cpu_ms_per_patch": 1000 * each_cpu_s,
    }


def _gain(alone: Sequence[Measurement], beside: Sequence[list[Measurement]]) -> float:
    """How many times the work of one core all cores do, at the best, with nothing in common."""
    best_s = min(run["seconds"] for run in alone)
    return float(max(sum(best_s / run["seconds"] for run in runs) for runs in beside))


def _make(
    folder: Path, listed: Sequence[Patch], *, spec: TaskSpec, uncompressed: bool
) -> dict[str, Any]:
    """Write the zip, the packed truth and the first masks as files."""
    distinct = min(len(listed), DISTINCT_PATCHES)
    pairs = [synthetic.pair(spec, seed=i) for i in range(distinct)]
    encode = _uncompressed if uncompressed else _lzw
    rasters = [encode(pair.prediction) for pair in pairs]
    # An archive of uncompressed rasters is stored here, so that it has the full size.
    method = zipfile.ZIP_STORED if uncompressed else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(folder / "predictions.zip", "w", method) as zipped:
        for i, patch in enumerate(listed):
            name = spec.prediction_name.replace("{id}", patch.id)
            zipped.writestr(name, rasters[i % distinct])
    masks = folder / "masks"
    masks.mkdir()
    for patch, pair in zip(listed[:REFERENCE_PATCHES], pairs, strict=False):
        (masks / f"MSK_{patch.id}.tif").write_bytes(_lzw(pair.mask))
    info = store.from_arrays(
        ((patch, pairs[i % distinct].mask) for i, patch in enumerate(listed)),
        folder / "truth.pack",
        spec=spec,
    )
    return {
        "patches": len(listed),
        "distinct_patches": distinct,
        "codec": "uncompressed, stored" if uncompressed else "LZW, deflated",
        "raster_bytes_mean": sum(map(len, rasters)) / distinct,
        "zip_bytes": (folder / "predictions.zip").stat().st_size,
        "truth_bytes_per_raw_byte": info.file_bytes / info.raw_bytes,
    }


def _lzw(pixels: NDArray[np.uint8]) -> bytes:
    return _tiff(pixels, compress="lzw")


def _uncompressed(pixels: NDArray[np.uint8]) -> bytes:
    return _tiff(pixels)


def _tiff(pixels: NDArray[np.uint8], **options: str) -> bytes:
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.io import MemoryFile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with MemoryFile() as memory:
            with memory.open(
                driver="GTiff",
                height=pixels.shape[0],
                width=pixels.shape[1],
                count=1,
                dtype="uint8",
                blockysize=STRIP_ROWS,
                **options,
            ) as raster:
                raster.write(pixels, 1)
            data: bytes = memory.read()
            return data


def _is_met(value: float, bound: str, wanted: float) -> bool:
    return value <= wanted if bound == "at most" else value >= wanted


def _log(text: str) -> None:
    print(f"bench: {text} …", file=sys.stderr, flush=True)
