"""Packs a zip of masks: listed by the strict reader, decoded in the sandbox, written as they come.

What is told of masks that are wrong names the file and holds no value and no count of pixels: the
archive is hidden labels.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scoring.engine.archive import listing as listings
from scoring.engine.archive.listing import Listing
from scoring.engine.metrics.counting import PatchCounts
from scoring.engine.problems.problems import Problem, ProblemList, Refused
from scoring.engine.scorer import pipeline
from scoring.engine.scorer.outcome import Outcome
from scoring.engine.scorer.recorder import OnProgress, PatchRecorder, ProgressReporter
from scoring.engine.scorer.verdicts import Packed, Rejected
from scoring.engine.task.specification import ILLEGAL_LABEL, Patch, TaskSpec
from scoring.engine.truth import store
from scoring.engine.truth.pack_writer import PackWriter

_OF_VALUES = frozenset({"values-out-of-range", "values-one-based"})


def pack(
    *,
    spec: TaskSpec,
    upload_path: str | Path,
    out_path: str | Path,
    only_ids: Collection[str] | None = None,
    on_progress: OnProgress | None = None,
    workers: int | None = None,
    isolate: bool = True,
) -> Packed | Rejected:
    """Pack exactly the masks of ``spec.expected``; ``out_path`` is written whole or not at all.

    With ``only_ids``, which are of these, the archive's list is checked as a whole and those masks
    alone are decoded and packed. Raises `sandbox.IsolationUnavailable`,
    `decoding.AllDecodersFailed`, OSError.
    """
    task = as_masks(spec)
    ids = [patch.id for patch in spec.expected]
    try:
        listing = listings.open_upload(upload_path, spec=task, expected_ids=ids)
    except Refused as refused:
        return Rejected([refused.problem])
    try:
        if listing.problems:
            return pipeline.rejected(listing.problems, [])
        if only_ids is not None:
            wanted = set(only_ids)
            ids = [patch_id for patch_id in ids if patch_id in wanted]
            listing.members = [member for member in listing.members if member.id in wanted]
        outcome = Outcome(task)
        progress = ProgressReporter(on_progress, "packing", len(ids))
        try:
            with (
                pipeline.new_decoding(listing, task, workers=workers, isolate=isolate) as decoding,
                store.new_pack(Path(out_path), spec=spec) as writer,
            ):
                masks = _Masks(spec, writer, listing)
                decoding.run(PatchRecorder(outcome, progress, new_counter=lambda: masks.add))
                outcome.summarise()
                if outcome.problems:
                    raise _Unfit
                pipeline.require_all(outcome, ids)
        except _Unfit:
            return pipeline.rejected(
                _without_values(outcome.problems, highest=spec.label_values[-1]), []
            )
        return Packed(len(ids))
    finally:
        listing.close()


def as_masks(spec: TaskSpec) -> TaskSpec:
    """Return the specification by which an archive's files are masks, not predictions."""
    first = spec.expected[0].id if spec.expected else "1"
    names = (f"{start}{{id}}.tif" for start in ("MSK_", ""))
    name = next(
        (one for one in names if spec.truth_id(Path(one.replace("{id}", first)).stem) == first),
        spec.prediction_name,
    )
    return replace(spec, prediction_pattern=spec.truth_pattern, prediction_name=name, elsewhere=())


class _Unfit(Exception):
    """The masks have problems, and the packed file is not to be kept."""


class _Masks:
    """Takes decoded masks from several threads, and writes those with legal labels alone."""

    def __init__(self, spec: TaskSpec, writer: PackWriter, listing: Listing) -> None:
        self._spec, self._writer = spec, writer
        self._located = _located(spec.expected, listing)
        self._lock = threading.Lock()

    def add(self, patch_id: str, pixels: NDArray[np.uint8]) -> PatchCounts:
        """Write one mask, uint8[H, W]; a value that is no label goes to ``outside``, as one 0."""
        nothing = np.zeros((1, self._spec.n_classes), dtype=np.int64)
        if (self._spec.label_table[pixels] == ILLEGAL_LABEL).any():
            return PatchCounts(nothing, {0: 1})
        with self._lock:
            self._writer.add(patch_id, *self._located[patch_id], pixels)
        return PatchCounts(nothing, {})


def _located(expected: Iterable[Patch], listing: Listing) -> dict[str, tuple[str, str]]:
    names = {member.id: member.name for member in listing.members}
    return {
        patch.id: store.locate(patch, name=names[patch.id])
        for patch in expected
        if patch.id in names
    }


def _without_values(problems: ProblemList, *, highest: int) -> ProblemList:
    """Return the problems, where those of values say only in which file they are."""
    told = ProblemList(more=problems.more)
    for problem in problems:
        if problem.code in _OF_VALUES:
            problem = Problem.of(
                "values-out-of-range",
                file=problem.file,
                pixels="some",
                values="not told",
                highest=highest,
            )
        told.listed.append(problem)
    return told
