"""Where decoded patches go: counted by many threads, entered by one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scoring.engine import archive, decoder
from scoring.engine.counting import PatchCounts
from scoring.engine.evidence import Gatherer
from scoring.engine.outcome import Outcome
from scoring.engine.problems import Problem
from scoring.engine.verdicts import Progress

PROGRESS_EVERY_S = 0.25

OnProgress = Callable[[Progress], None]


class Count(Protocol):
    """Looks at one patch's pixels (uint8[H, W]); one thread's own."""

    def __call__(self, patch_id: str, pixels: NDArray[np.uint8], /) -> PatchCounts: ...


class Teller:
    """Passes on progress, a few times a second."""

    def __init__(self, on_progress: OnProgress | None, stage: str, total: int) -> None:
        self._on_progress, self._stage, self._total = on_progress, stage, total
        self._done, self._next_s = 0, 0.0
        self.stage(stage)

    def stage(self, name: str) -> None:
        """Say that another stage has begun."""
        self._stage = name
        if self._on_progress is not None:
            self._on_progress(Progress(name, self._done, self._total))

    def one_more(self) -> None:
        """Say that one more patch is done."""
        self._done += 1
        if self._on_progress is not None and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + PROGRESS_EVERY_S
            self._on_progress(Progress(self._stage, self._done, self._total))


class Ledger:
    """Enters what was found, patch by patch. ``new_count`` gives each thread its own counter.

    Counting is most of the work and needs no lock; entering is a few additions behind one.
    """

    def __init__(
        self,
        outcome: Outcome,
        tell: Teller,
        *,
        new_count: Callable[[], Count],
        gatherer: Gatherer | None = None,
    ) -> None:
        self.new_count = new_count
        self._outcome, self._tell, self._gatherer = outcome, tell, gatherer
        self._lock = threading.Lock()

    def enter(self, member: archive.Member, decoded: decoder.Decoded, found: PatchCounts) -> None:
        """Take in one decoded and counted patch."""
        class_pixels = found.counts.sum(axis=0)
        with self._lock:
            if self._gatherer is not None:
                self._gatherer.add(member.id, found.counts)
            self._outcome.add(member, decoded, class_pixels, found.outside)
            self._tell.one_more()

    def refuse(self, member: archive.Member, problem: Problem) -> None:
        """Take in one that could not be decoded; `problem` need not name the file."""
        with self._lock:
            self._outcome.refuse(member, problem)
            self._tell.one_more()
