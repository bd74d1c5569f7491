"""Mutates archives and rasters by the thousand, and looks for what must never happen.

Usage: python -m tests.scoring.fuzz --cases 20000 [--seed N]. Exit status 1 with a list of findings.

- An altered *archive* is refused, or gives exactly the pixels of the unaltered one (its checksums
  protect them).
- An altered *raster*, in an archive that is whole, is refused, or gives exactly the pixels that
  GDAL reads from the same bytes (where GDAL minds a tag that holds no pixels: those of the
  unaltered raster).
- Nothing raises, nothing hangs, no decoder dies.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scoring.engine.archive import listing as archive
from scoring.engine.decode import decoder
from scoring.engine.metrics import counting
from scoring.engine.problems.problems import Problem, ProblemList, Refused
from scoring.engine.scorer import decoding, recorder
from scoring.engine.scorer.outcome import Outcome
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import TaskSpec
from tests.scoring.attacks import tiffs, zips

SIDE_PX = 64
RASTERS_PER_ARCHIVE = 250
LIMIT_S = 2.0
INTERESTING = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31,
               2**32 - 1)  # fmt: skip
Pixels = NDArray[np.uint8]


def small_spec() -> TaskSpec:
    """FLAIR #1 with small patches and any ids."""
    return dataclasses.replace(
        specs.load("flair-1"), patch_height_px=SIDE_PX, patch_width_px=SIDE_PX, expected=()
    )


def class_map(seed: int) -> Pixels:
    """uint8[SIDE_PX, SIDE_PX] of classes 0 to 12, in blocks with noise."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 13, (8, 8), dtype=np.uint8)
    pixels = np.kron(blocks, np.ones((SIDE_PX // 8, SIDE_PX // 8), dtype=np.uint8))
    noisy = rng.random(pixels.shape) < 0.1
    pixels[noisy] = rng.integers(0, 13, int(noisy.sum()), dtype=np.uint8)
    return pixels


def rasters() -> list[bytes]:
    """One file of each kind of writing."""
    writers: list[Callable[[Pixels], bytes]] = [
        lambda p: tiffs.by_gdal(p, compress="lzw"),
        lambda p: tiffs.by_gdal(p, compress="lzw", predictor=2),
        lambda p: tiffs.by_gdal(p, compress="deflate"),
        lambda p: tiffs.by_gdal(p, compress="zstd"),
        lambda p: tiffs.by_gdal(p, compress="packbits"),
        lambda p: tiffs.by_gdal(p, tiled=True, blockxsize=32, blockysize=16, compress="lzw"),
        lambda p: tiffs.by_gdal(p, tiled=True, blockxsize=48, blockysize=48, compress="deflate"),
        lambda p: tiffs.by_gdal(p, BIGTIFF="YES", ENDIANNESS="BIG", compress="lzw"),
        lambda p: tiffs.by_gdal(p, overviews=[2], compress="lzw"),
        lambda p: tiffs.handmade(p, rows_per_strip=10),
        lambda p: tiffs.handmade(p, rows_per_strip=64, compression=5),
        lambda p: tiffs.by_tifffile(p, compression="lzw", rowsperstrip=16),
        lambda p: tiffs.by_pillow(p, compression="tiff_lzw"),
    ]
    return [write(class_map(n)) for n, write in enumerate(writers)]


def archives() -> list[bytes]:
    """Archives of three small rasters, in the forms that zip programs write."""
    names = [b"PRED_061713.tif", b"PRED_061714.tif", b"PRED_061715.tif"]
    files = [tiffs.by_gdal(class_map(n), compress="lzw") for n in range(3)]
    pairs = list(zip(names, files, strict=True))
    return [
        zips.archive([zips.Item(n, d) for n, d in pairs]),
        zips.archive([zips.Item(n, d, method=0) for n, d in pairs]),
        zips.archive([zips.Item(n, d, zip64=True) for n, d in pairs], zip64=True),
        zips.archive(
            [zips.Item(n, d, flags=8, descriptor=zips.honest_descriptor(d)) for n, d in pairs]
        ),
        zips.archive([zips.Item(b"a/b/" + n, d) for n, d in pairs], comment=b"comment"),
    ]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to four things changed."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(out))
        match rng.randrange(8):
            case 0:
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                out[at] = rng.randrange(256)
            case 2 | 3:
                width = rng.choice((1, 2, 4, 8))
                order = rng.choice(("little", "big"))
                value = rng.choice(INTERESTING) % (1 << 8 * width)
                out[at : at + width] = value.to_bytes(width, order)  # type: ignore[arg-type]
            case 4:
                del out[at : at + rng.randrange(1, 40)]
            case 5:
                out[at:at] = rng.randbytes(rng.randrange(1, 40))
            case 6:
                other = rng.randrange(len(out))
                size = rng.randrange(1, 64)
                out[at : at + size] = out[other : other + size]
            case _:
                del out[at:]
        if not out:
            return b"x"
    return bytes(out)


@dataclass
class Report:
    """What was tried and found."""

    cases: int = 0
    accepted: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def add(self, problems: list[Problem]) -> None:
        """Count one case."""
        self.cases += 1
        self.accepted += not problems
        self.codes.update({p.code for p in problems})


class _Everything(ProblemList):
    """ProblemList that forget nothing."""

    def add(self, problem: Problem) -> None:
        self.listed.append(problem)


def fuzz_archives(report: Report, *, cases: int, seed: int) -> None:
    """Alter archives; what is still accepted must give the pixels of the original."""
    spec, rng, honest = small_spec(), random.Random(seed), archives()
    worker = decoder.Decoder(height_px=SIDE_PX, width_px=SIDE_PX, member_bytes=2_000_000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload.zip"
        wanted = {f"06171{3 + n}": class_map(n) for n in range(3)}
        for case in range(cases):
            data = mutated(rng.choice(honest), rng)
            path.write_bytes(data)
            started_s = time.process_time()
            try:
                problems, pixels = _decoded(path, spec, tuple(wanted), worker)
            except Exception as error:  # noqa: BLE001 (any error is a finding)
                report.findings.append(f"archive {seed}/{case}: {error!r}")
                _keep(data, f"archive-{seed}-{case}")
                continue
            report.slowest_s = max(report.slowest_s, time.process_time() - started_s)
            report.add(problems)
            if not problems and not all(np.array_equal(pixels[i], wanted[i]) for i in wanted):
                report.findings.append(f"archive {seed}/{case}: accepted with altered pixels")
                _keep(data, f"archive-{seed}-{case}")


def _decoded(
    path: Path, spec: TaskSpec, ids: tuple[str, ...], worker: decoder.Decoder
) -> tuple[list[Problem], dict[str, Pixels]]:
    """Problems and pixels of an archive, decoded in this process without GDAL."""
    out = np.zeros(spec.patch_pixels + decoder.PADDING_BYTES, dtype=np.uint8)
    pixels: dict[str, Pixels] = {}
    try:
        listing = archive.open_upload(path, spec=spec, expected_ids=ids)
    except Refused as refused:
        return [refused.problem], pixels
    try:
        problems = list(listing.problems)
        for m in listing.members:
            task = decoder.DecodeRequest(m.method, m.compressed_bytes, m.size_bytes, m.crc32)
            try:
                worker.decode(task, listing.read(m), out)
            except Refused as refused:
                problems.append(refused.problem)
            else:
                pixels[m.id] = out[: spec.patch_pixels].reshape(SIDE_PX, SIDE_PX).copy()
    finally:
        listing.close()
    return problems, pixels


def fuzz_rasters(report: Report, *, cases: int, seed: int) -> None:
    """Alter rasters; what is accepted must be what GDAL reads. Decoders are locked down."""
    spec, rng, honest = small_spec(), random.Random(seed), rasters()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload.zip"
        for begin in range(0, cases, RASTERS_PER_ARCHIVE):
            count = min(RASTERS_PER_ARCHIVE, cases - begin)
            chosen = [rng.randrange(len(honest)) for _ in range(count)]
            files = [mutated(honest[k], rng) for k in chosen]
            items = [zips.Item(b"PRED_%06d.tif" % n, f, method=0) for n, f in enumerate(files)]
            path.write_bytes(zips.archive(items))
            started_s = time.monotonic()
            ours, problems = _by_pool(path, spec, with_gdal=False)
            report.slowest_s = max(report.slowest_s, (time.monotonic() - started_s) / count)
            gdal, refusals = _by_pool(path, spec, with_gdal=True)
            for n, data in enumerate(files):
                patch_id = f"{n:06d}"
                original = class_map(chosen[n]).tobytes()
                finding = _compared(patch_id, ours, problems, gdal, refusals, original)
                if finding:
                    report.findings.append(f"raster {seed}/{begin + n}: {finding}")
                    _keep(data, f"raster-{seed}-{begin + n}")
                report.add([problems[patch_id]] if patch_id in problems else [])


def _compared(
    patch_id: str,
    ours: Mapping[str, bytes],
    problems: Mapping[str, Problem],
    gdal: Mapping[str, bytes],
    refusals: Mapping[str, Problem],
    original: bytes,
) -> str | None:
    """What is wrong with one case, None when all is well."""
    for found in (problems, refusals):
        code = found[patch_id].code if patch_id in found else ""
        if code in ("raster-crash", "raster-too-slow"):
            return code
    if patch_id in ours:
        if patch_id not in gdal and ours[patch_id] != original:
            return f"accepted with altered pixels, but GDAL says {refusals.get(patch_id)}"
        if ours[patch_id] != gdal.get(patch_id, original):
            return "accepted with other pixels than GDAL's"
    elif patch_id not in problems:
        return "neither accepted nor refused"
    return None


def _by_pool(
    path: Path, spec: TaskSpec, *, with_gdal: bool
) -> tuple[dict[str, bytes], dict[str, Problem]]:
    """(pixels, problem) by patch id, from locked-down decoders; GDAL for all, or where needed."""
    pixels: dict[str, bytes] = {}

    def count(patch_id: str, array: Pixels) -> counting.PatchCounts:
        pixels[patch_id] = array.tobytes()
        table = np.bincount(array.reshape(-1), minlength=256)[: spec.n_classes]
        return counting.PatchCounts(table[None], {})

    outcome = Outcome(spec, problems=_Everything())
    listing = archive.open_upload(path, spec=spec, expected_ids=())
    try:
        with decoding.IsolatedDecoding(listing, spec, workers=2) as isolated:
            if with_gdal:
                isolated._for_gdal, isolated._members = isolated._members, deque()
            progress = recorder.ProgressReporter(None, "checking", 0)
            isolated.run(recorder.PatchRecorder(outcome, progress, new_counter=lambda: count))
        outcome.summarise()
    finally:
        listing.close()
    return pixels, {str(p.file)[5:11]: p for p in outcome.problems}


def _keep(data: bytes, name: str) -> None:
    """Leave the file that did it where FUZZ_KEEP says."""
    if folder := os.environ.get("FUZZ_KEEP"):
        (Path(folder) / name).write_bytes(data)


def main() -> int:
    """Run both kinds, half of the cases each; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    report = Report()
    started_s = time.monotonic()
    fuzz_archives(report, cases=arguments.cases // 2, seed=arguments.seed)
    fuzz_rasters(report, cases=arguments.cases - arguments.cases // 2, seed=arguments.seed)
    figures = {
        "cases": report.cases,
        "accepted": report.accepted,
        "refused": dict(report.codes.most_common()),
        "slowest_s": round(report.slowest_s, 3),
        "seconds": round(time.monotonic() - started_s, 1),
        "findings": report.findings,
    }
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    return 1 if report.findings or report.slowest_s > LIMIT_S else 0


if __name__ == "__main__":
    sys.exit(main())
