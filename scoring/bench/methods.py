"""One measurement of the benchmark, in a process of its own.

It says "ready" on stdout when its imports are over. The job then comes as one line of JSON on
stdin (`processes.Job`). Imports and compilation are over before the clock starts, for every method
alike. The result is JSON on stdout: seconds and patches, or the parts of one patch's time.
"""

from __future__ import annotations

import io
import itertools
import json
import resource
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from scoring.bench.processes import Job, Measurement
from scoring.engine.archive import listing as listings
from scoring.engine.archive import tiff
from scoring.engine.archive.listing import Listing, Member
from scoring.engine.decode import decoder
from scoring.engine.metrics import counting, metrics
from scoring.engine.scorer import pipeline
from scoring.engine.scorer.recorder import PatchRecorder
from scoring.engine.scorer.verdicts import Scored
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import TaskSpec
from scoring.engine.truth import store

PROFILED_PATCHES = 200
STRETCH_PATCHES = 250
SMOOTHED_PATCHES = 16


def floor_gdal(job: Job, _spec: TaskSpec) -> Measurement:
    """Unzip and decode as anyone would: zipfile and rasterio."""
    import warnings

    from rasterio.io import MemoryFile

    warnings.simplefilter("ignore")
    with zipfile.ZipFile(job["zip"]) as zipped:

        def decode(name: str) -> object:
            with MemoryFile(zipped.read(name)) as memory, memory.open(driver="GTiff") as raster:
                return raster.read(1)

        return _timed(decode, zipped.namelist())


def floor_pillow(job: Job, _spec: TaskSpec) -> Measurement:
    """Unzip and decode as anyone would: zipfile and Pillow."""
    from PIL import Image

    with zipfile.ZipFile(job["zip"]) as zipped:
        return _timed(
            lambda name: np.asarray(Image.open(io.BytesIO(zipped.read(name)))), zipped.namelist()
        )


def floor_own(job: Job, spec: TaskSpec) -> Measurement:
    """Unzip and decode with the engine's own inflater and LZW; no digest, no count."""
    listing = listings.open_upload(job["zip"], spec=spec, expected_ids=job["ids"])
    reader = _EngineDecoder(listing, spec)
    measured = _timed(reader.decode_only, listing.members)
    listing.close()
    return measured


def engine(job: Job, spec: TaskSpec) -> Measurement:
    """The engine: everything checked, isolated, counted, the card built, the evidence saved."""
    folder = Path(job["zip"]).parent
    recorded_s = _record_times()
    started_s = time.perf_counter()
    result = pipeline.score(
        spec=spec,
        truth_path=job["truth"],
        upload_path=job["zip"],
        evidence_path=folder / "evidence",
        workers=job["workers"],
    )
    seconds = time.perf_counter() - started_s
    if not isinstance(result, Scored):
        raise SystemExit(f"the benchmark's own data were refused: {result}")
    return {
        "seconds": seconds,
        "patches": result.card["patches"],
        "miou": result.card["miou"],
        "evidence_bytes": (folder / "evidence").stat().st_size,
        "stretches_s": _stretches(recorded_s),
    }


def _record_times() -> list[float]:
    """When each patch was recorded: `perf_counter` seconds."""
    recorded_s: list[float] = []
    record = PatchRecorder.record

    def timed(self: PatchRecorder, *patch: Any) -> None:
        record(self, *patch)
        recorded_s.append(time.perf_counter())

    PatchRecorder.record = timed  # type: ignore[assignment, method-assign]
    return recorded_s


def _stretches(recorded_s: list[float]) -> list[float]:
    """Seconds a patch of each stretch of the run, after its start; none of a short run.

    Decoders reply with a few patches at once, so a stretch ends at the mean of some neighbours.
    """
    ends = [
        float(np.mean(recorded_s[i - SMOOTHED_PATCHES // 2 : i + SMOOTHED_PATCHES // 2]))
        for i in range(STRETCH_PATCHES // 4, len(recorded_s) - SMOOTHED_PATCHES, STRETCH_PATCHES)
    ]
    return [(end - begin) / STRETCH_PATCHES for begin, end in itertools.pairwise(ends)]


def reference(job: Job, spec: TaskSpec) -> Measurement:
    """As the organisers' code does it: Pillow and scikit-learn's confusion_matrix per patch."""
    from PIL import Image
    from sklearn.metrics import confusion_matrix

    labels = list(range(spec.n_classes))
    matrices: list[NDArray[np.int64]] = []
    with zipfile.ZipFile(job["zip"]) as zipped:

        def score(patch_id: str) -> None:
            mask = np.array(Image.open(Path(job["masks"]) / f"MSK_{patch_id}.tif"))
            target = np.minimum(mask - 1, spec.n_classes - 1)
            raster = zipped.read(f"PRED_{patch_id}.tif")
            prediction = np.array(Image.open(io.BytesIO(raster)))
            matrices.append(confusion_matrix(target.ravel(), prediction.ravel(), labels=labels))

        measured = _timed(score, job["ids"])
    total = np.sum(matrices[1:], axis=0)  # the first was for warming up
    return measured | {"miou": float(metrics.measure(total, spec=spec).miou)}


def profile(job: Job, spec: TaskSpec) -> Measurement:
    """Milliseconds a patch of each part, one after the other in one process."""
    listing = listings.open_upload(job["zip"], spec=spec, expected_ids=job["ids"])
    members = listing.members[:PROFILED_PATCHES]
    reader = _EngineDecoder(listing, spec)
    raw = {m.id: listing.read(m) for m in members}
    with store.PackedTruth.open(job["truth"]) as truth:
        counter = counting.PatchCounter(truth, n_classes=spec.n_classes)
        pixels = {m.id: reader.read(m).copy() for m in members}
        steps: dict[str, Callable[[Member], object]] = {
            "read from the archive": listing.read,
            "inflate, check, decode, digest": lambda m: reader.decode(m, raw[m.id]),
            "of these: digest": lambda m: blake3(pixels[m.id].data).digest(),
            "read the truth and count": lambda m: counter.count(m.id, pixels[m.id]),
            "of these: read the truth": lambda m: truth.read_record(m.id),
        }
        measured = {
            name: 1000 * _timed(step, members)["seconds"] / len(members)
            for name, step in steps.items()
        }
    listing.close()
    return measured


class _EngineDecoder:
    def __init__(self, listing: Listing, spec: TaskSpec) -> None:
        self._listing = listing
        self._shape = (spec.patch_height_px, spec.patch_width_px)
        self._decoder = decoder.Decoder(
            height_px=self._shape[0],
            width_px=self._shape[1],
            member_bytes=spec.limits.member_bytes,
        )
        self._out = np.zeros(spec.patch_pixels + decoder.PADDING_BYTES, dtype=np.uint8)
        self._pixels = self._out[: spec.patch_pixels].reshape(self._shape)

    def read(self, member: Member) -> NDArray[np.uint8]:
        """Everything that a decoder process does; uint8[H, W], overwritten by the next."""
        self.decode(member, self._listing.read(member))
        return self._pixels

    def decode(self, member: Member, stored: bytes) -> None:
        self._decoder.decode(_request(member), stored, self._out)

    def decode_only(self, member: Member) -> None:
        """Inflate and decode, without the digest; the engine has no public way to do less."""
        raw = self._decoder._inflate(_request(member), self._listing.read(member))
        layout = tiff.layout(raw, height_px=self._shape[0], width_px=self._shape[1])
        if not self._decoder._decode_plain(raw, layout, self._out):
            raise RuntimeError(f"{member.name} is not decoded plainly")


def _request(member: Member) -> decoder.DecodeRequest:
    return decoder.DecodeRequest(
        member.method, member.compressed_bytes, member.size_bytes, member.crc32
    )


def _timed(step: Callable[[Any], object], items: list[Any]) -> Measurement:
    """Seconds of a step over all items, after one that warms caches and compiles."""
    step(items[0])
    started_s, cpu_s = time.perf_counter(), _cpu_s()
    for item in items:
        step(item)
    return {
        "seconds": time.perf_counter() - started_s,
        "cpu_s": _cpu_s() - cpu_s,
        "patches": len(items),
    }


METHODS = {
    "floor-gdal": floor_gdal,
    "floor-pillow": floor_pillow,
    "floor-own": floor_own,
    "engine": engine,
    "reference": reference,
    "profile": profile,
}


def main() -> None:
    """Run the job on stdin."""
    print("ready", flush=True)
    job = json.loads(sys.stdin.readline())
    spec = specs.from_json(job["spec"])
    started_s = _cpu_s()
    measured = METHODS[job["method"]](job, spec)
    print(json.dumps({"cpu_s": _cpu_s() - started_s, **measured}))


def _cpu_s() -> float:
    """Of this process and of the decoders that it has waited for, user and system."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
