"""Getting every member decoded: by the locked-down pool, or in this process for one's own files."""

from __future__ import annotations

import select
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from scoring.engine import archive, decoder
from scoring.engine.ledger import Count, Ledger
from scoring.engine.pool import ORDER_TIMEOUT_S, DecoderDied, Lane, Pool
from scoring.engine.problems import Problem, Refused
from scoring.engine.spec import TaskSpec


class DecodersLost(RuntimeError):
    """Every decoder ended for reasons that no single file explains."""


class Inline:
    """Decodes in this very process: for one's own files where no isolation exists."""

    def __init__(self, listing: archive.Listing, spec: TaskSpec) -> None:
        self._listing, self._spec = listing, spec

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def run(self, ledger: Ledger) -> None:
        """Decode every member and have it counted and entered."""
        spec, count = self._spec, ledger.new_count()
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
                ledger.refuse(member, refused.problem)
            else:
                shape = (spec.patch_height_px, spec.patch_width_px)
                pixels = out[: spec.patch_pixels].reshape(shape)
                ledger.enter(member, done, count(member.id, pixels))


class Isolated:
    """Feeds the pool: keeps every slot filled, takes answers as they come.

    Each plain decoder has a thread that feeds it and counts what it answers, so that a patch's
    pixels mostly stay with one core and no core waits for another's. Rasters for GDAL and the
    members of a decoder that died are one thread's business: there the culprit is found.
    """

    def __init__(self, listing: archive.Listing, spec: TaskSpec, workers: int) -> None:
        self._listing, self._spec = listing, spec
        self._members = deque(listing.members)
        self._for_gdal: deque[archive.Member] = deque()
        self._at: dict[tuple[int, int], archive.Member] = {}
        self._suspects: set[str] = set()
        self._stopped = False
        self._is_interrupted = False
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

    def run(self, ledger: Ledger) -> None:
        """Decode every member and have it counted and entered. Raises `DecodersLost`."""
        count = ledger.new_count()
        while not self._stopped and (self._at or self._members or self._for_gdal):
            calm = not (self._at or self._suspects)
            if calm and self._members and len(self._pool.plain) > 1:
                self._run_by_threads(ledger)
                continue
            self._fill(ledger)
            if not self._at:  # a decoder died that was idle: what it was to get waits again
                continue
            for lane in self._ready(ledger):
                try:
                    self._take(lane, count, ledger)
                except DecoderDied as death:
                    self._bury(death, ledger)

    def _run_by_threads(self, ledger: Ledger) -> None:
        """Every member through the plain decoders, one thread each, until one of them dies."""
        lanes = list(self._pool.plain)
        self._is_interrupted = False
        with ThreadPoolExecutor(len(lanes), "lane") as threads:
            try:
                drives = [threads.submit(self._drive, lane, ledger) for lane in lanes]
            except RuntimeError as error:
                self._is_interrupted = True
                raise MemoryError("no memory for another thread") from error
        for drive in drives:
            death = drive.result()
            if death is not None:
                self._bury(death, ledger)

    def _drive(self, lane: Lane, ledger: Ledger) -> DecoderDied | None:
        """One lane's thread: it alone touches the lane. Gives the decoder's death, if it died."""
        count = ledger.new_count()
        try:
            while True:
                while lane.free and self._members and not self._is_interrupted:
                    if len(lane.asked_at_s) >= max(2, len(self._members) // 2):
                        break  # the last ones are shared: no core waits for what another holds
                    try:
                        member = self._members.popleft()
                    except IndexError:  # another thread took the last one
                        break
                    self._order(lane, member, ledger)
                lane.send()
                if not lane.asked_at_s:
                    return None
                patience_s = lane.overdue_at_s() - time.monotonic()
                if not _readable([lane], patience_s):
                    raise DecoderDied(lane, "raster-too-slow")
                self._take(lane, count, ledger)
        except DecoderDied as death:
            self._is_interrupted = True
            return death
        except BaseException:
            self._is_interrupted = True
            raise

    def _take(self, lane: Lane, count: Count, ledger: Ledger) -> None:
        """Count and enter what `lane` has answered. Raises DecoderDied."""
        shape = (self._spec.patch_height_px, self._spec.patch_width_px)
        for answer in lane.answers():
            member = self._at.pop((lane.pid, answer.slot))
            self._suspects.discard(member.id)
            if answer.decoded is not None:
                pixels = lane.pixels(answer.slot, self._spec.patch_pixels)
                ledger.enter(member, answer.decoded, count(member.id, pixels.reshape(shape)))
            elif answer.problem is not None:
                ledger.refuse(member, answer.problem)
            else:
                self._for_gdal.append(member)
            lane.free.append(answer.slot)

    def _fill(self, ledger: Ledger) -> None:
        for lanes, queue in (
            (self._pool.plain, self._members),
            (self._pool.gdal, self._for_gdal),
        ):
            while queue and self._room(lane := max(lanes, key=self._room)):
                if self._suspects and queue[0].id not in self._suspects:
                    break  # suspects lie in front; the others wait until they are cleared
                self._order(lane, queue.popleft(), ledger)
        for lane in list(self._pool.lanes()):
            try:
                lane.send()
            except DecoderDied as death:
                self._bury(death, ledger)

    def _room(self, lane: Lane) -> int:
        """How many orders a lane may be given: one at a time while there are suspects."""
        return len(lane.free) if not self._suspects else int(not lane.asked_at_s)

    def _order(self, lane: Lane, member: archive.Member, ledger: Ledger) -> None:
        slot = lane.free.pop()
        view = lane.input(slot, member.compressed_bytes)
        try:
            self._listing.read_into(member, view)
        except Refused as refused:
            ledger.refuse(member, refused.problem)
            self._suspects.discard(member.id)
            lane.free.append(slot)
            return
        finally:
            view.release()
        self._at[lane.pid, slot] = member
        task = decoder.Task(member.method, member.compressed_bytes, member.size_bytes, member.crc32)
        lane.ask(slot, task)

    def _ready(self, ledger: Ledger) -> list[Lane]:
        """Lanes with something to read; one that is overdue is buried."""
        busy = [lane for lane in self._pool.lanes() if lane.asked_at_s]
        patience_s = min(lane.overdue_at_s() for lane in busy) - time.monotonic()
        ready = _readable(busy, patience_s)
        if not ready:
            for lane in busy:
                if lane.overdue_at_s() <= time.monotonic():
                    self._bury(DecoderDied(lane, "raster-too-slow"), ledger)
        return ready

    def _bury(self, death: DecoderDied, ledger: Ledger) -> None:
        """Replace a dead lane, and find out which file it was.

        All that it had in hand are suspects; they are tried again one by one. The first that
        dies alone is the culprit, and the end of this upload: unless the decoder was killed from
        outside, which no raster can do.
        """
        lane = death.lane
        orphans = [self._at.pop((lane.pid, slot)) for slot in lane.asked_at_s]
        was_killed = self._pool.bury(lane)
        is_alone = len(orphans) == 1 and orphans[0].id in self._suspects
        if is_alone and not was_killed:
            ledger.refuse(orphans[0], Problem.of(death.code, limit_s=round(ORDER_TIMEOUT_S)))
            self._stopped = True
            return
        lanes = self._pool.gdal if lane.uses_gdal else self._pool.plain
        if not lanes or not (lane.is_ready or was_killed):
            raise DecodersLost(f"a decoder ended ({death.code}) and no other is left")
        self._suspects.update(member.id for member in orphans)
        (self._for_gdal if lane.uses_gdal else self._members).extendleft(reversed(orphans))


def _readable(lanes: list[Lane], patience_s: float) -> list[Lane]:
    """Those of `lanes` that have answered; waits for the first as long as `patience_s`."""
    by_reply = {lane.replies: lane for lane in lanes}
    poll = select.poll()
    for fd in by_reply:
        poll.register(fd, select.POLLIN)
    return [by_reply[fd] for fd, _ in poll.poll(max(0.0, patience_s) * 1000)]
