"""Getting every member decoded: by the locked-down pool, or in this process for one's own files."""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scoring.engine import archive, decoder
from scoring.engine.outcome import Outcome
from scoring.engine.pool import ORDER_TIMEOUT_S, Answer, DecoderDied, Lane, Pool
from scoring.engine.problems import Problem, Refused
from scoring.engine.spec import TaskSpec
from scoring.engine.verdicts import Progress

PROGRESS_EVERY_S = 0.25

OnProgress = Callable[[Progress], None]


class Count(Protocol):
    """Looks at one patch's pixels (uint8[H, W]); gives its classes' pixels and foreign values."""

    def __call__(
        self, patch_id: str, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], Mapping[int, int]]: ...


class DecodersLost(RuntimeError):
    """Every decoder ended for reasons that no single file explains."""


class Teller:
    """Passes on progress, a few times a second."""

    def __init__(self, on_progress: OnProgress | None, stage: str, total: int) -> None:
        self._on_progress, self._stage, self._total = on_progress, stage, total
        self._done, self._next_s = 0, 0.0
        self.stage(stage)

    def stage(self, name: str) -> None:
        self._stage = name
        if self._on_progress is not None:
            self._on_progress(Progress(name, self._done, self._total))

    def one_more(self) -> None:
        self._done += 1
        if self._on_progress is not None and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + PROGRESS_EVERY_S
            self._on_progress(Progress(self._stage, self._done, self._total))


class Inline:
    """Decodes in this very process: for one's own files where no isolation exists."""

    def __init__(self, listing: archive.Listing, spec: TaskSpec) -> None:
        self._listing, self._spec = listing, spec

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def run(self, count: Count, outcome: Outcome, tell: Teller) -> None:
        spec = self._spec
        worker = decoder.Decoder(
            height_px=spec.patch_height_px,
            width_px=spec.patch_width_px,
            member_bytes=spec.limits.member_bytes,
        )
        out = np.zeros(spec.patch_pixels + decoder.PADDING_BYTES, dtype=np.uint8)
        for member in self._listing.members:
            task = decoder.Task(
                member.method, member.compressed_bytes, member.size_bytes, member.crc32
            )
            try:
                data = self._listing.read(member)
                try:
                    done = worker.decode(task, data, out)
                except decoder.NeedsGdal:
                    done = worker.decode(task, data, out, use_gdal=True)
            except Refused as refused:
                outcome.refuse(member, refused.problem)
            else:
                shape = (spec.patch_height_px, spec.patch_width_px)
                pixels = out[: spec.patch_pixels].reshape(shape)
                outcome.add(member, done, *count(member.id, pixels))
            tell.one_more()


class Isolated:
    """Feeds the pool: keeps every slot filled, takes answers as they come."""

    def __init__(self, listing: archive.Listing, spec: TaskSpec, workers: int) -> None:
        self._listing, self._spec = listing, spec
        self._members = deque(listing.members)
        self._for_gdal: deque[archive.Member] = deque()
        self._at: dict[tuple[int, int], archive.Member] = {}
        self._suspects: set[str] = set()
        self._stopped = False
        self._pool = Pool(
            height_px=spec.patch_height_px,
            width_px=spec.patch_width_px,
            input_bytes=max((m.compressed_bytes for m in listing.members), default=1),
            member_bytes=max((m.size_bytes for m in listing.members), default=1),
            workers=workers,
        )

    def __enter__(self) -> Isolated:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.close()

    def run(self, count: Count, outcome: Outcome, tell: Teller) -> None:
        """Decode every member, giving pixels to `count`. Raises `DecodersLost`."""
        shape = (self._spec.patch_height_px, self._spec.patch_width_px)
        while not self._stopped:
            self._fill(outcome)
            if not self._at:
                break
            for lane in self._ready(outcome):
                try:
                    for answer in lane.answers():
                        member = self._at.pop((lane.pid, answer.slot))
                        if answer.decoded is not None:
                            pixels = lane.pixels(answer.slot, self._spec.patch_pixels)
                            counted = count(member.id, pixels.reshape(shape))
                            outcome.add(member, answer.decoded, *counted)
                        self._settle(member, answer, outcome, tell)
                        lane.free.append(answer.slot)
                except DecoderDied as death:
                    self._bury(death, outcome)

    def _settle(
        self, member: archive.Member, answer: Answer, outcome: Outcome, tell: Teller
    ) -> None:
        if answer.decoded is None and answer.problem is None:
            self._for_gdal.append(member)
            return
        if answer.problem is not None:
            outcome.refuse(member, answer.problem)
        tell.one_more()

    def _fill(self, outcome: Outcome) -> None:
        for lanes, queue in (
            (self._pool.plain, self._members),
            (self._pool.gdal, self._for_gdal),
        ):
            while queue and self._room(lane := max(lanes, key=self._room)):
                self._order(lane, queue.popleft(), outcome)
        for lane in list(self._pool.lanes()):
            try:
                lane.send()
            except DecoderDied as death:
                self._bury(death, outcome)

    def _room(self, lane: Lane) -> int:
        """How many orders a lane may be given: one at a time while there are suspects."""
        return len(lane.free) if not self._suspects else int(not lane.asked_at_s)

    def _order(self, lane: Lane, member: archive.Member, outcome: Outcome) -> None:
        slot = lane.free.pop()
        view = lane.input(slot, member.compressed_bytes)
        try:
            self._listing.read_into(member, view)
        except Refused as refused:
            outcome.refuse(member, refused.problem)
            lane.free.append(slot)
            return
        finally:
            view.release()
        self._at[lane.pid, slot] = member
        task = decoder.Task(member.method, member.compressed_bytes, member.size_bytes, member.crc32)
        lane.ask(slot, task)

    def _ready(self, outcome: Outcome) -> list[Lane]:
        """Lanes with something to read; one that is overdue is buried."""
        busy = {lane.replies: lane for lane in self._pool.lanes() if lane.asked_at_s}
        poll = select.poll()
        for fd in busy:
            poll.register(fd, select.POLLIN)
        patience_s = min(lane.overdue_at_s() for lane in busy.values()) - time.monotonic()
        ready = [busy[fd] for fd, _ in poll.poll(max(0.0, patience_s) * 1000)]
        if not ready:
            for lane in busy.values():
                if lane.overdue_at_s() <= time.monotonic():
                    self._bury(DecoderDied(lane, "raster-too-slow"), outcome)
        return ready

    def _bury(self, death: DecoderDied, outcome: Outcome) -> None:
        """Replace a dead lane, and find out which file it was.

        All that it had in hand are suspects; they are tried again one by one. The first that
        dies alone is the culprit, and the end of this upload.
        """
        lane = death.lane
        orphans = [self._at.pop((lane.pid, slot)) for slot in lane.asked_at_s]
        self._pool.bury(lane)
        if len(orphans) == 1 and orphans[0].id in self._suspects:
            outcome.refuse(orphans[0], Problem.of(death.code, limit_s=round(ORDER_TIMEOUT_S)))
            self._stopped = True
            return
        lanes = self._pool.gdal if lane.uses_gdal else self._pool.plain
        if not lanes or not lane.is_ready:
            raise DecodersLost(f"a decoder ended ({death.code}) and no other is left")
        self._suspects.update(member.id for member in orphans)
        (self._for_gdal if lane.uses_gdal else self._members).extendleft(reversed(orphans))
