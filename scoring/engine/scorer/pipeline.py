"""Scores or checks an upload: lists, decodes, checks and counts it in one pass.

Every pixel is decoded once. Counts are used only after the whole upload has passed, and no
message depends on a label, so an invalid upload learns nothing about the hidden part.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scoring.engine.archive import listing as listings
from scoring.engine.archive.listing import Listing
from scoring.engine.decode import sandbox
from scoring.engine.metrics import card_builder, counting, evidence
from scoring.engine.metrics.card import ScoreCard
from scoring.engine.metrics.counting import PatchCounts
from scoring.engine.problems.problems import Problem, ProblemList, Refused
from scoring.engine.scorer.decoding import InProcessDecoding, IsolatedDecoding
from scoring.engine.scorer.outcome import Outcome
from scoring.engine.scorer.recorder import (
    CountPatch,
    OnProgress,
    PatchRecorder,
    ProgressReporter,
)
from scoring.engine.scorer.verdicts import Rejected, Scored, Valid
from scoring.engine.task.specification import TaskSpec
from scoring.engine.truth import store
from scoring.engine.truth.split import SplitFile

_EXPLAINS_SIZE = frozenset({"raster-type", "raster-bands", "raster-size", "raster-transposed"})


def score(
    *,
    spec: TaskSpec,
    truth_path: str | Path,
    upload_path: str | Path,
    evidence_path: str | Path | None = None,
    split_file: SplitFile | None = None,
    on_progress: OnProgress | None = None,
    workers: int | None = None,
    isolate: bool = True,
) -> Scored | Rejected:
    """Score the zip or folder at `upload_path` against a packed truth.

    With `split_file` every patch is checked and counted, and the card counts the zones it names.
    It is read after the decoders were forked, like the truth. With `isolate`, decoders run in a
    sandbox and are forked before the truth is opened: call it from a process with one thread.
    Raises `sandbox.IsolationUnavailable`, `decoding.AllDecodersFailed`, `store.StoreError`,
    `split.SplitError`, FileNotFoundError.
    """
    started_s = time.monotonic()
    ids = _ids_from_process(Path(truth_path)) if isolate else _ids(truth_path)
    progress = ProgressReporter(on_progress, "scoring", len(ids))
    try:
        listing = listings.open_upload(upload_path, spec=spec, expected_ids=ids)
    except Refused as refused:
        return Rejected([refused.problem])
    try:
        _explain_size(listing, spec, isolate=isolate)
        if listing.problems:
            return rejected(listing.problems, listing.notes)
        outcome = Outcome(spec, notes=list(listing.notes))
        with (
            new_decoding(listing, spec, workers=workers, isolate=isolate) as decoding,
            store.PackedTruth.open(truth_path) as truth,
        ):
            builder = evidence.EvidenceBuilder(spec, truth)

            def new_counter() -> CountPatch:
                return counting.PatchCounter(truth, n_classes=spec.n_classes).count

            decoding.run(
                PatchRecorder(outcome, progress, new_counter=new_counter, evidence=builder)
            )
            outcome.summarise()
            if outcome.problems:
                return rejected(outcome.problems, outcome.notes)
            require_all(outcome, ids)
            progress.start_stage("bootstrapping")
            notes = [n.to_json() for n in outcome.notes]
            patch_evidence = builder.build(content_digest=outcome.content_digest, notes=notes)
            seconds = time.monotonic() - started_s
            return _scored(patch_evidence, evidence_path, split_file, seconds=seconds)
    finally:
        listing.close()


def validate(
    *,
    spec: TaskSpec,
    upload_path: str | Path,
    expected_ids: Iterable[str] | None = None,
    on_progress: OnProgress | None = None,
    workers: int | None = None,
    isolate: bool = True,
) -> Valid | Rejected:
    """Check everything that needs no label; `expected_ids` defaults to the specification's.

    Raises `sandbox.IsolationUnavailable`, `decoding.AllDecodersFailed`.
    """
    ids = tuple(expected_ids if expected_ids is not None else (p.id for p in spec.expected))
    try:
        listing = listings.open_upload(upload_path, spec=spec, expected_ids=ids)
    except Refused as refused:
        return Rejected([refused.problem])
    try:
        _explain_size(listing, spec, isolate=isolate)
        outcome = Outcome(spec, problems=listing.problems, notes=list(listing.notes))
        progress = ProgressReporter(on_progress, "checking", len(listing.members))
        with new_decoding(listing, spec, workers=workers, isolate=isolate) as decoding:
            decoding.run(PatchRecorder(outcome, progress, new_counter=lambda: _value_counter(spec)))
        outcome.summarise()
        if outcome.problems:
            return rejected(outcome.problems, outcome.notes)
        require_all(outcome, [member.id for member in listing.members])
        pixels = int(outcome.class_pixels.sum())
        return Valid(
            {
                "spec": spec.id,
                "patches": len(outcome.digests),
                "content_digest": outcome.content_digest,
                "predicted_frequencies": [int(v) / pixels for v in outcome.class_pixels],
                "notes": [n.to_json() for n in outcome.notes],
            }
        )
    finally:
        listing.close()


def _explain_size(listing: Listing, spec: TaskSpec, *, isolate: bool) -> None:
    """Put before the problems of size what the oversized raster says of its type or form.

    It is inflated and read like any other: by a decoder worker.
    """
    if listing.oversized is None:
        return
    outcome = Outcome(spec)
    alone = Listing([listing.oversized], fd=listing.fd)
    with new_decoding(alone, spec, workers=1, isolate=isolate) as decoding:
        progress = ProgressReporter(None, "checking", 1)
        decoding.run(PatchRecorder(outcome, progress, new_counter=lambda: _value_counter(spec)))
    outcome.summarise()
    for problem in outcome.problems:
        if problem.code in _EXPLAINS_SIZE:
            listing.problems.insert_first(problem)


def require_all(outcome: Outcome, ids: Iterable[str]) -> None:
    """Every patch or no score, whatever happened to the decoders."""
    lost = set(ids) ^ outcome.digests.keys()
    if lost:
        raise RuntimeError(f"{len(lost)} patches were not decoded, the first is {min(lost)}")


def _ids(truth_path: str | Path) -> tuple[str, ...]:
    with store.PackedTruth.open(truth_path) as truth:
        return truth.ids


def _ids_from_process(truth_path: Path) -> tuple[str, ...]:
    """The patches of a packed truth, read in a process that ends with it.

    Its index holds a digest and the number of runs of every mask; decoders inherit whatever this
    process has ever read.
    """
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read_fd)
            with os.fdopen(write_fd, "wb") as pipe:
                pipe.write(json.dumps(_ids(truth_path)).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status:
        _ids(truth_path)  # no decoder will be forked: say here what is wrong
        raise store.StoreError(truth_path.name, "its list of patches could not be read")
    return tuple(json.loads(data))


def _value_counter(spec: TaskSpec) -> CountPatch:
    """A counter of pixels by value, for checks without a truth."""
    n = spec.n_classes

    def count(_patch_id: str, pixels: NDArray[np.uint8]) -> PatchCounts:
        table = np.bincount(pixels.reshape(-1), minlength=256)
        outside = {int(v): int(table[v]) for v in np.flatnonzero(table[n:]) + n}
        return PatchCounts(table[None, :n], outside)

    return count


def _scored(
    patch_evidence: evidence.Evidence,
    evidence_path: str | Path | None,
    split_file: SplitFile | None,
    *,
    seconds: float,
) -> Scored:
    path = None if evidence_path is None else Path(evidence_path)
    with ThreadPoolExecutor(1, "evidence") as thread:
        saved = None
        if path is not None:
            try:
                saved = thread.submit(evidence.save, patch_evidence, path)
            except RuntimeError:  # the resource limits allow no other thread
                evidence.save(patch_evidence, path)
        document = _card(patch_evidence, split_file, seconds=round(seconds, 3))
        if saved is not None:
            saved.result()
    return Scored(document, path)


def _card(
    patch_evidence: evidence.Evidence, split_file: SplitFile | None, *, seconds: float
) -> ScoreCard:
    if split_file is None:
        return card_builder.build(patch_evidence, seconds=seconds)
    return card_builder.build_counted(
        patch_evidence, split_file.load(), zones=split_file.zones, seconds=seconds
    )


def rejected(problems: ProblemList, notes: list[Problem]) -> Rejected:
    """The verdict on an upload with problems."""
    return Rejected(list(problems), problems.more, notes)


def new_decoding(
    listing: Listing, spec: TaskSpec, *, workers: int | None, isolate: bool
) -> IsolatedDecoding | InProcessDecoding:
    """Decoders for a listing's members. Raises `sandbox.IsolationUnavailable`."""
    if not isolate:
        return InProcessDecoding(listing, spec)
    sandbox.require()
    return IsolatedDecoding(listing, spec, workers or len(os.sched_getaffinity(0)))
