"""Collects decoded and counted patches from several threads, and reports the progress.

Counting is most of the work and runs without a lock, in the thread that read the pixels; recording
a patch is a few additions behind one lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scoring.engine.archive import listing
from scoring.engine.decode import decoder
from scoring.engine.metrics.counting import PatchCounts
from scoring.engine.metrics.evidence import EvidenceBuilder
from scoring.engine.problems.problems import Problem
from scoring.engine.scorer.outcome import Outcome
from scoring.engine.scorer.verdicts import Progress

PROGRESS_EVERY_S = 0.25

OnProgress = Callable[[Progress], None]


class CountPatch(Protocol):
    """Counts one patch's pixels (uint8[H, W]). Each thread has a counter of its own."""

    def __call__(self, patch_id: str, pixels: NDArray[np.uint8], /) -> PatchCounts: ...


class ProgressReporter:
    """Calls ``on_progress`` at each new stage and then at most every ``PROGRESS_EVERY_S``."""

    def __init__(self, on_progress: OnProgress | None, stage: str, total: int) -> None:
        self._on_progress, self._stage, self._total = on_progress, stage, total
        self._done, self._next_s = 0, 0.0
        self.start_stage(stage)

    def start_stage(self, name: str) -> None:
        """Report that another stage has begun."""
        self._stage = name
        if self._on_progress is not None:
            self._on_progress(Progress(name, self._done, self._total))

    def patch_done(self) -> None:
        """Count one more patch as done."""
        self._done += 1
        if self._on_progress is not None and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + PROGRESS_EVERY_S
            self._on_progress(Progress(self._stage, self._done, self._total))


class PatchRecorder:
    """Records patches in the outcome and the evidence, from any thread.

    ``new_counter`` gives each thread its own counter.
    """

    def __init__(
        self,
        outcome: Outcome,
        progress: ProgressReporter,
        *,
        new_counter: Callable[[], CountPatch],
        evidence: EvidenceBuilder | None = None,
    ) -> None:
        self.new_counter = new_counter
        self._outcome, self._progress, self._evidence = outcome, progress, evidence
        self._lock = threading.Lock()

    def record(
        self, member: listing.Member, decoded: decoder.Decoded, patch_counts: PatchCounts
    ) -> None:
        """Record one decoded and counted patch."""
        class_pixels = patch_counts.counts.sum(axis=0)
        with self._lock:
            if self._evidence is not None:
                self._evidence.add(member.id, patch_counts.counts)
            self._outcome.add(member, decoded, class_pixels, patch_counts.outside)
            self._progress.patch_done()

    def record_problem(self, member: listing.Member, problem: Problem) -> None:
        """Record a member that could not be decoded; `problem` need not name the file."""
        with self._lock:
            self._outcome.add_problem(member, problem)
            self._progress.patch_done()
