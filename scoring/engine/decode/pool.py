"""The pool of decoder workers: forked early, sandboxed, with spares.

The parent (which will open the labels) forks every worker before it opens any. A worker locks
itself down before its first request and dies with its parent.

Two kinds: *plain* workers work from the start; *GDAL* workers block, forked but without rasterio,
until a raster needs them, so that ordinary archives do not pay for its import. There are spares of
both, because after the labels are open nothing may be forked any more.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import mmap
import os
from collections.abc import Iterator

from scoring.engine.decode import decoder, decoder_worker, sandbox
from scoring.engine.decode.decoder_worker import DecoderWorker
from scoring.engine.kernels import strips

SLOTS = 16  # at most, in one worker's memory
SHARED_BYTES = 192 * 2**20  # all workers' memory together, however many cores and large members
MAX_GDAL_WORKERS = 6  # each imports rasterio for itself, 40 MB that no other shares
EXIT_WAIT_S = 1.0
DESCRIPTORS_BESIDE = 8  # of the scorer, beside the workers' pipes: the truth, evidence, selectors
# Errors of a system call that may succeed with fewer workers.
_LIMIT_ERRORS = {errno.EAGAIN, errno.EMFILE, errno.ENOMEM}
_PAGE = 4096


class Pool:
    """`workers` plain and up to `MAX_GDAL_WORKERS` GDAL decoder workers, and a spare of each kind.

    `input_bytes` is the largest stored size of a member, `member_bytes` the largest inflated one.

    Raises OSError where a resource limit does not allow as many processes, pipes or memory.
    """

    def __init__(
        self, *, height_px: int, width_px: int, input_bytes: int, member_bytes: int, workers: int
    ) -> None:
        self._shape = (height_px, width_px)
        self._member_bytes = member_bytes
        self._input_bytes = -(-input_bytes // _PAGE) * _PAGE
        pixels = height_px * width_px + decoder.PADDING_BYTES
        self._output_bytes = -(-pixels // _PAGE) * _PAGE
        processes = workers + min(workers, MAX_GDAL_WORKERS) + 2
        fitting = SHARED_BYTES // (processes * (self._input_bytes + self._output_bytes))
        self._slots = min(SLOTS, max(1, fitting))
        self._all: list[DecoderWorker] = []
        strips.load()  # compiled once, inherited by all
        gc.freeze()  # garbage collection would write to the pages that the workers inherit
        try:
            self.plain = [self._fork(uses_gdal=False) for _ in range(workers)]
            self.gdal = [self._fork(uses_gdal=True) for _ in range(min(workers, MAX_GDAL_WORKERS))]
            self._spares = [self._fork(uses_gdal=False), self._fork(uses_gdal=True)]
            _require_descriptors(DESCRIPTORS_BESIDE)
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End every worker."""
        for worker in self._all:
            worker.kill()
        self._all.clear()
        gc.unfreeze()

    def active(self) -> Iterator[DecoderWorker]:
        """The workers that take requests, without the spares."""
        yield from self.plain
        yield from self.gdal

    def replace(self, worker: DecoderWorker) -> bool:
        """Kill a worker and replace it by a spare of its kind, if there still is one.

        Returns True when the worker had been killed from outside.
        """
        was_killed = worker.kill(exit_wait_s=EXIT_WAIT_S if worker.has_closed_pipe else 0.0)
        self._all.remove(worker)
        group = self.gdal if worker.uses_gdal else self.plain
        group.remove(worker)
        for spare in [s for s in self._spares if s.uses_gdal == worker.uses_gdal][:1]:
            self._spares.remove(spare)
            group.append(spare)
        return was_killed

    def _fork(self, *, uses_gdal: bool) -> DecoderWorker:
        memory = mmap.mmap(-1, self._slots * (self._input_bytes + self._output_bytes))
        parent = os.getpid()
        with contextlib.ExitStack() as on_error:
            request_out, request_in = _pipe(on_error)
            reply_out, reply_in = _pipe(on_error)
            pid = os.fork()
            on_error.pop_all()
        if pid == 0:
            code = 1
            try:
                sandbox.die_with_parent(parent)
                for other in self._all:
                    other.memory.close()
                _close_other_descriptors({request_out, reply_in})
                worker = DecoderWorker(
                    0, request_out, reply_in, memory, uses_gdal, self._input_bytes,
                    self._output_bytes,
                )  # fmt: skip
                decoder_worker.serve(worker, self._shape, self._member_bytes)
                code = 0
            finally:
                # Never back into the parent's code: it belongs to another process.
                os._exit(code)
        os.close(request_out)
        os.close(reply_in)
        worker = DecoderWorker(
            pid, request_in, reply_out, memory, uses_gdal, self._input_bytes,
            self._output_bytes, list(range(self._slots)),
        )  # fmt: skip
        self._all.append(worker)
        return worker


def start_pool(
    *, height_px: int, width_px: int, input_bytes: int, member_bytes: int, workers: int
) -> Pool:
    """A pool of `workers` decoders, or of fewer where the resource limits allow no more.

    Raises OSError where they do not even allow one.
    """
    while True:
        try:
            return Pool(
                height_px=height_px,
                width_px=width_px,
                input_bytes=input_bytes,
                member_bytes=member_bytes,
                workers=workers,
            )
        except OSError as error:
            if workers == 1 or error.errno not in _LIMIT_ERRORS:
                raise
            workers //= 2


def _pipe(on_error: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe that is closed again with `on_error`."""
    ends = os.pipe()
    for end in ends:
        on_error.callback(os.close, end)
    return ends


def _require_descriptors(count: int) -> None:
    """Raise OSError unless `count` more descriptors can be opened."""
    with contextlib.ExitStack() as opened:
        for _ in range(count):
            opened.callback(os.close, os.open(os.devnull, os.O_RDONLY))


def _close_other_descriptors(needed: set[int]) -> None:
    """Close every other descriptor; the standard three become /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    begin = 3
    for fd in sorted(needed):
        os.closerange(begin, fd)
        begin = fd + 1
    os.closerange(begin, os.sysconf("SC_OPEN_MAX"))
