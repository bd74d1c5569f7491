"""Has every member of an upload decoded and counted: in sandboxed processes or in this one."""

from __future__ import annotations

import select
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from scoring.engine.archive.listing import Listing, Member
from scoring.engine.decode import decoder
from scoring.engine.decode.decoder_worker import REQUEST_TIMEOUT_S, DecoderDied, DecoderWorker
from scoring.engine.decode.pool import start_pool
from scoring.engine.problems.problems import Problem, Refused
from scoring.engine.scorer.recorder import CountPatch, PatchRecorder
from scoring.engine.task.specification import TaskSpec


class AllDecodersFailed(RuntimeError):
    """Every decoder worker ended for reasons that no single file explains."""


class InProcessDecoding:
    """Decodes in this very process: for one's own files where no sandbox exists."""

    def __init__(self, listing: Listing, spec: TaskSpec) -> None:
        self._listing, self._spec = listing, spec

    def __enter__(self) -> InProcessDecoding:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def run(self, recorder: PatchRecorder) -> None:
        """Decode, count and record every member."""
        spec, count = self._spec, recorder.new_counter()
        shape = (spec.patch_height_px, spec.patch_width_px)
        raster_decoder = decoder.Decoder(
            height_px=spec.patch_height_px,
            width_px=spec.patch_width_px,
            member_bytes=spec.limits.member_bytes,
        )
        out = np.zeros(spec.patch_pixels + decoder.PADDING_BYTES, dtype=np.uint8)
        for member in self._listing.members:
            request = _request_of(member)
            try:
                data = self._listing.read(member)
                try:
                    decoded = raster_decoder.decode(request, data, out)
                except decoder.NeedsGdal:
                    decoded = raster_decoder.decode(request, data, out, use_gdal=True)
            except Refused as refused:
                recorder.record_problem(member, refused.problem)
            else:
                pixels = out[: spec.patch_pixels].reshape(shape)
                recorder.record(member, decoded, count(member.id, pixels))


class IsolatedDecoding:
    """Decodes in the pool's sandboxed workers: keeps every slot filled, reads replies as they come.

    Each plain worker has a thread that sends it members and counts what it decodes, so that a
    patch's pixels mostly stay with one core and no core waits for another's. Rasters for GDAL and
    the members of a worker that died are handled by one thread alone: there the member that kills
    its worker is identified.
    """

    def __init__(self, listing: Listing, spec: TaskSpec, workers: int) -> None:
        self._listing, self._spec = listing, spec
        self._members = deque(listing.members)
        self._for_gdal: deque[Member] = deque()
        self._in_work: dict[tuple[int, int], Member] = {}  # by (pid of the worker, slot)
        self._suspects: set[str] = set()  # ids of members whose worker died
        self._is_stopped = False
        self._is_interrupted = False
        self._may_use_threads = True
        self._pool = start_pool(
            height_px=spec.patch_height_px,
            width_px=spec.patch_width_px,
            input_bytes=max((m.compressed_bytes for m in listing.members), default=1),
            member_bytes=max((m.size_bytes for m in listing.members), default=1),
            workers=workers,
        )

    def __enter__(self) -> IsolatedDecoding:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.close()

    def run(self, recorder: PatchRecorder) -> None:
        """Decode, count and record every member. Raises `AllDecodersFailed`."""
        count = recorder.new_counter()
        while not self._is_stopped and (self._in_work or self._members or self._for_gdal):
            if self._can_use_threads():
                self._run_threads(recorder)
                continue
            self._send_members(recorder)
            if not self._in_work:  # an idle worker died: what it was to get is queued again
                continue
            for worker in self._workers_with_replies(recorder):
                try:
                    self._process_replies(worker, count, recorder)
                except DecoderDied as death:
                    self._replace_worker(death, recorder)

    def _can_use_threads(self) -> bool:
        """Members wait for plain workers, and none is in work or under suspicion."""
        return (
            bool(self._members)
            and not (self._in_work or self._suspects)
            and self._may_use_threads
            and len(self._pool.plain) > 1
        )

    def _run_threads(self, recorder: PatchRecorder) -> None:
        """Every member through the plain workers, one thread each, until one worker dies."""
        workers = list(self._pool.plain)
        self._is_interrupted = False
        futures: list[Future[DecoderDied | None]] = []
        with ThreadPoolExecutor(len(workers), "decoder-worker") as threads:
            try:
                futures.extend(threads.submit(self._run_thread, w, recorder) for w in workers)
            except RuntimeError:  # no memory, or no process, is left for another thread
                self._is_interrupted = True
                self._may_use_threads = False
        for future in futures:
            death = future.result()
            if death is not None:
                self._replace_worker(death, recorder)

    def _run_thread(self, worker: DecoderWorker, recorder: PatchRecorder) -> DecoderDied | None:
        """Serve `worker`, which no other thread touches; returns its death, if it died."""
        count = recorder.new_counter()
        try:
            while True:
                self._fill_slots(worker, recorder)
                worker.send_requests()
                if not worker.requested_at_s:
                    return None
                timeout_s = worker.overdue_at_s() - time.monotonic()
                if not _wait_for_replies([worker], timeout_s):
                    raise DecoderDied(worker, "raster-too-slow")
                self._process_replies(worker, count, recorder)
        except DecoderDied as death:
            self._is_interrupted = True
            return death
        except BaseException:
            self._is_interrupted = True
            raise

    def _fill_slots(self, worker: DecoderWorker, recorder: PatchRecorder) -> None:
        """Request members for the worker's free slots; the last members are shared evenly."""
        while worker.free_slots and self._members and not self._is_interrupted:
            if len(worker.requested_at_s) >= max(2, len(self._members) // 2):
                return  # no core shall wait for what another holds
            try:
                member = self._members.popleft()
            except IndexError:  # another thread took the last one
                return
            self._request(worker, member, recorder)

    def _process_replies(
        self, worker: DecoderWorker, count: CountPatch, recorder: PatchRecorder
    ) -> None:
        """Count and record what `worker` has decoded. Raises DecoderDied."""
        shape = (self._spec.patch_height_px, self._spec.patch_width_px)
        for reply in worker.read_replies():
            member = self._in_work.pop((worker.pid, reply.slot))
            self._suspects.discard(member.id)
            if reply.decoded is not None:
                pixels = worker.pixels(reply.slot, self._spec.patch_pixels).reshape(shape)
                recorder.record(member, reply.decoded, count(member.id, pixels))
            elif reply.problem is not None:
                recorder.record_problem(member, reply.problem)
            else:
                self._for_gdal.append(member)
            worker.free_slots.append(reply.slot)

    def _send_members(self, recorder: PatchRecorder) -> None:
        """Send waiting members to the workers with the most free slots."""
        for workers, queue in (
            (self._pool.plain, self._members),
            (self._pool.gdal, self._for_gdal),
        ):
            while queue and self._capacity(worker := max(workers, key=self._capacity)):
                if self._suspects and queue[0].id not in self._suspects:
                    break  # suspects stand first; the others wait until they are cleared
                self._request(worker, queue.popleft(), recorder)
        for worker in list(self._pool.active()):
            try:
                worker.send_requests()
            except DecoderDied as death:
                self._replace_worker(death, recorder)

    def _capacity(self, worker: DecoderWorker) -> int:
        """How many members a worker may be sent: one at a time while there are suspects."""
        return len(worker.free_slots) if not self._suspects else int(not worker.requested_at_s)

    def _request(self, worker: DecoderWorker, member: Member, recorder: PatchRecorder) -> None:
        """Read the member into a free slot and queue the request to decode it."""
        slot = worker.free_slots.pop()
        view = worker.input(slot, member.compressed_bytes)
        try:
            self._listing.read_into(member, view)
        except Refused as refused:
            recorder.record_problem(member, refused.problem)
            self._suspects.discard(member.id)
            worker.free_slots.append(slot)
            return
        finally:
            view.release()
        self._in_work[worker.pid, slot] = member
        worker.queue_request(slot, _request_of(member))

    def _workers_with_replies(self, recorder: PatchRecorder) -> list[DecoderWorker]:
        """Workers with something to read; one that is overdue is replaced."""
        busy = [worker for worker in self._pool.active() if worker.requested_at_s]
        timeout_s = min(worker.overdue_at_s() for worker in busy) - time.monotonic()
        ready = _wait_for_replies(busy, timeout_s)
        if not ready:
            for worker in busy:
                if worker.overdue_at_s() <= time.monotonic():
                    self._replace_worker(DecoderDied(worker, "raster-too-slow"), recorder)
        return ready

    def _replace_worker(self, death: DecoderDied, recorder: PatchRecorder) -> None:
        """Replace a dead worker, and find out which member killed it.

        All members it had not answered become suspects and are tried again one by one. The first
        whose worker dies while it has no other is refused, which ends this upload: unless the
        worker was killed from outside, which no raster can do. Raises `AllDecodersFailed`.
        """
        worker = death.worker
        unanswered = [self._in_work.pop((worker.pid, slot)) for slot in worker.requested_at_s]
        was_killed = self._pool.replace(worker)
        is_alone = len(unanswered) == 1 and unanswered[0].id in self._suspects
        if is_alone and not was_killed:
            problem = Problem.of(death.code, limit_s=round(REQUEST_TIMEOUT_S))
            recorder.record_problem(unanswered[0], problem)
            self._is_stopped = True
            return
        others = self._pool.gdal if worker.uses_gdal else self._pool.plain
        if not others or not (worker.is_ready or was_killed):
            raise AllDecodersFailed(f"a decoder ended ({death.code}) and no other is left")
        self._suspects.update(member.id for member in unanswered)
        (self._for_gdal if worker.uses_gdal else self._members).extendleft(reversed(unanswered))


def _request_of(member: Member) -> decoder.DecodeRequest:
    return decoder.DecodeRequest(
        member.method, member.compressed_bytes, member.size_bytes, member.crc32
    )


def _wait_for_replies(workers: list[DecoderWorker], timeout_s: float) -> list[DecoderWorker]:
    """Those of `workers` that have replied; waits for the first as long as `timeout_s`."""
    worker_of = {worker.reply_fd: worker for worker in workers}
    poll = select.poll()
    for fd in worker_of:
        poll.register(fd, select.POLLIN)
    return [worker_of[fd] for fd, _ in poll.poll(max(0.0, timeout_s) * 1000)]
