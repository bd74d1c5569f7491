"""From an upload to findings, pixels and counts: lists, decodes, checks and counts in one pass.

Every pixel is decoded once. Counts are kept back until the whole upload has passed, and no
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

from scoring.engine import archive, card, counting, evidence, sandbox, store
from scoring.engine.counting import PatchCounts
from scoring.engine.feeding import Inline, Isolated
from scoring.engine.ledger import Count, Ledger, OnProgress, Teller
from scoring.engine.outcome import Outcome
from scoring.engine.problems import Findings, Problem, Refused
from scoring.engine.spec import TaskSpec
from scoring.engine.verdicts import Rejected, Scored, Valid


def score(
    *,
    spec: TaskSpec,
    truth_path: str | Path,
    upload_path: str | Path,
    evidence_path: str | Path | None = None,
    on_progress: OnProgress | None = None,
    workers: int | None = None,
    isolate: bool = True,
) -> Scored | Rejected:
    """Score the zip or folder at `upload_path` against a packed truth.

    With `isolate`, decoders run locked down and are forked before the truth is opened: call it
    from a process with one thread. Raises `sandbox.IsolationUnavailable`, `feeding.DecodersLost`,
    `store.StoreError`.
    """
    started_s = time.monotonic()
    ids = _ids_apart(Path(truth_path)) if isolate else _ids(truth_path)
    tell = Teller(on_progress, "scoring", len(ids))
    try:
        listing = archive.open_upload(upload_path, spec=spec, expected_ids=ids)
    except Refused as refused:
        return Rejected([refused.problem])
    try:
        if listing.problems:
            return _rejected(listing.problems, listing.notes)
        outcome = Outcome(spec, notes=list(listing.notes))
        with (
            _decoders(listing, spec, workers=workers, isolate=isolate) as decoders,
            store.PackedTruth.open(truth_path) as truth,
        ):
            gatherer = evidence.Gatherer(spec, truth)

            def new_count() -> Count:
                return counting.PatchCounter(truth, n_classes=spec.n_classes).count

            decoders.run(Ledger(outcome, tell, new_count=new_count, gatherer=gatherer))
            outcome.finish()
            if outcome.problems:
                return _rejected(outcome.problems, outcome.notes)
            _require_all(outcome, ids)
            tell.stage("bootstrapping")
            notes = [n.to_json() for n in outcome.notes]
            proof = gatherer.finish(content_digest=outcome.content_digest, notes=notes)
            return _scored(proof, evidence_path, seconds=time.monotonic() - started_s)
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
    """Everything that needs no label. `expected_ids` defaults to the specification's."""
    ids = tuple(expected_ids if expected_ids is not None else (p.id for p in spec.expected))
    try:
        listing = archive.open_upload(upload_path, spec=spec, expected_ids=ids)
    except Refused as refused:
        return Rejected([refused.problem])
    try:
        outcome = Outcome(spec, problems=listing.problems, notes=list(listing.notes))
        tell = Teller(on_progress, "checking", len(listing.members))
        with _decoders(listing, spec, workers=workers, isolate=isolate) as decoders:
            decoders.run(Ledger(outcome, tell, new_count=lambda: _histogrammer(spec)))
        outcome.finish()
        if outcome.problems:
            return _rejected(outcome.problems, outcome.notes)
        _require_all(outcome, [member.id for member in listing.members])
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


def _require_all(outcome: Outcome, ids: Iterable[str]) -> None:
    """Every patch or no score: whatever the decoders and the feeding of them did."""
    lost = set(ids) ^ outcome.digests.keys()
    if lost:
        raise RuntimeError(f"{len(lost)} patches were not decoded, the first is {min(lost)}")


def _ids(truth_path: str | Path) -> tuple[str, ...]:
    with store.PackedTruth.open(truth_path) as truth:
        return truth.ids


def _ids_apart(truth_path: Path) -> tuple[str, ...]:
    """The patches of a packed truth, read in a process that ends with it.

    Its index holds a digest and the number of runs of every mask; decoders inherit whatever this
    process has ever read.
    """
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(out)
            with os.fdopen(into, "wb") as pipe:
                pipe.write(json.dumps(_ids(truth_path)).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status:
        _ids(truth_path)  # no decoder will be forked: say here what is wrong
        raise store.StoreError(truth_path.name, "its list of patches could not be read")
    return tuple(json.loads(data))


def _histogrammer(spec: TaskSpec) -> Count:
    n = spec.n_classes

    def count(patch_id: str, pixels: NDArray[np.uint8]) -> PatchCounts:
        table = np.bincount(pixels.reshape(-1), minlength=256)
        outside = {int(v): int(table[v]) for v in np.flatnonzero(table[n:]) + n}
        return PatchCounts(table[None, :n], outside)

    return count


def _scored(
    proof: evidence.Evidence, evidence_path: str | Path | None, *, seconds: float
) -> Scored:
    path = None if evidence_path is None else Path(evidence_path)
    with ThreadPoolExecutor(1, "evidence") as beside:
        saved = None if path is None else beside.submit(evidence.save, proof, path)
        document = card.build(proof, seconds=round(seconds, 3))
        if saved is not None:
            saved.result()
    return Scored(document, path)


def _rejected(problems: Findings, notes: list[Problem]) -> Rejected:
    return Rejected(list(problems), problems.more, notes)


def _decoders(
    listing: archive.Listing, spec: TaskSpec, *, workers: int | None, isolate: bool
) -> Isolated | Inline:
    if not isolate:
        return Inline(listing, spec)
    sandbox.require()
    return Isolated(listing, spec, workers or len(os.sched_getaffinity(0)))
