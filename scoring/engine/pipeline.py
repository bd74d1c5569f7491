"""From an upload to findings, pixels and counts: lists, decodes, checks and counts in one pass.

Every pixel is decoded once. Counts are kept back until the whole upload has passed, and no
message depends on a label, so an invalid upload learns nothing about the hidden part.
"""

from __future__ import annotations

import hashlib
import os
import select
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scoring.engine import archive, card, counting, decoder, evidence, sandbox, store, strips
from scoring.engine.pool import Answer, DecoderDied, Lane, Pool
from scoring.engine.problems import Findings, Problem, Refused
from scoring.engine.spec import TaskSpec
from scoring.engine.verdicts import Progress, Rejected, Scored, Valid

LISTED_VALUES = 8
PROGRESS_EVERY_S = 0.25

OnProgress = Callable[[Progress], None]


class Count(Protocol):
    """Looks at one patch's pixels (uint8[H, W]); gives its classes' pixels and foreign values."""

    def __call__(
        self, patch_id: str, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], Mapping[int, int]]: ...


class DecodersLost(RuntimeError):
    """Every decoder ended for reasons that no single file explains."""


@dataclass
class Outcome:
    """What one pass over an upload found, file by file."""

    spec: TaskSpec
    problems: Findings = field(default_factory=Findings)
    notes: list[Problem] = field(default_factory=list)
    digests: dict[str, bytes] = field(default_factory=dict)
    class_pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    _foreign_values: list[tuple[str, Mapping[int, int]]] = field(default_factory=list)
    _files_with_foreign_values: int = 0
    _value_pixels: dict[int, int] = field(default_factory=dict)
    _constant: list[str] = field(default_factory=list)
    _hinted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.class_pixels = np.zeros(self.spec.n_classes, dtype=np.int64)

    def add(
        self,
        member: archive.Member,
        decoded: decoder.Decoded,
        class_pixels: NDArray[np.int64],
        foreign_values: Mapping[int, int],
    ) -> None:
        """Take in one decoded patch."""
        self.digests[member.id] = decoded.digest
        self.class_pixels += class_pixels
        if decoded.has_display_hint:
            self._hinted.append(member.id)
        if foreign_values:
            self._files_with_foreign_values += 1
            for value, pixels in foreign_values.items():
                self._value_pixels[value] = self._value_pixels.get(value, 0) + pixels
            if len(self._foreign_values) < LISTED_VALUES + 20:
                self._foreign_values.append((member.name, dict(foreign_values)))
        elif np.count_nonzero(class_pixels) == 1:
            self._constant.append(member.id)

    def finish(self) -> None:
        """Turn what was gathered into problems and notes."""
        highest = self.spec.n_classes - 1
        one_based = not self.class_pixels[0] and set(self._value_pixels) == {highest + 1}
        for name, values in self._foreign_values:
            self.problems.add(_value_problem(name, values, highest=highest, one_based=one_based))
        self.problems.more += self._files_with_foreign_values - len(self._foreign_values)
        if self._constant:
            self.notes.append(
                Problem.of(
                    "note-constant-predictions", count=len(self._constant), id=min(self._constant)
                )
            )
        if self._hinted:
            self.notes.append(
                Problem.of("note-stored-values", count=len(self._hinted), id=min(self._hinted))
            )
        if self.digests and not self.problems and not self.class_pixels[0]:
            self.notes.append(Problem.of("note-class-zero-absent"))

    @property
    def content_digest(self) -> str:
        """sha256 over (id, blake3 of the pixels) in id order: the same pixels, the same digest."""
        whole = hashlib.sha256()
        for patch_id in sorted(self.digests):
            whole.update(patch_id.encode() + b"\0" + self.digests[patch_id])
        return whole.hexdigest()


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
    from a process with one thread. Raises `sandbox.IsolationUnavailable`, `DecodersLost`,
    `store.StoreError`.
    """
    started_s = time.monotonic()
    with store.PackedTruth.open(truth_path) as truth:
        ids = truth.ids
    tell = _Teller(on_progress, "scoring", len(ids))
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
            counter = counting.PatchCounter(truth, n_classes=spec.n_classes)
            gatherer = evidence.Gatherer(spec, truth)

            def count(
                patch_id: str, pixels: NDArray[np.uint8]
            ) -> tuple[NDArray[np.int64], Mapping[int, int]]:
                found = counter.count(patch_id, pixels)
                gatherer.add(patch_id, found.counts)
                return found.counts.sum(axis=0), found.outside

            decoders.run(count, outcome, tell)
            outcome.finish()
            if outcome.problems:
                return _rejected(outcome.problems, outcome.notes)
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
        tell = _Teller(on_progress, "checking", len(listing.members))
        with _decoders(listing, spec, workers=workers, isolate=isolate) as decoders:
            decoders.run(_histogrammer(spec), outcome, tell)
        outcome.finish()
        if outcome.problems:
            return _rejected(outcome.problems, outcome.notes)
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


def _histogrammer(spec: TaskSpec) -> Count:
    n = spec.n_classes

    def count(
        patch_id: str, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], Mapping[int, int]]:
        table = strips.histogram(pixels)
        return table[:n], {int(v): int(table[v]) for v in np.flatnonzero(table[n:]) + n}

    return count


def _scored(
    proof: evidence.Evidence, evidence_path: str | Path | None, *, seconds: float
) -> Scored:
    path = None if evidence_path is None else Path(evidence_path)
    if path is not None:
        evidence.save(proof, path)
    return Scored(card.build(proof, seconds=round(seconds, 3)), path)


def _rejected(problems: Findings, notes: list[Problem]) -> Rejected:
    return Rejected(list(problems), problems.more, notes)


def _value_problem(
    name: str, values: Mapping[int, int], *, highest: int, one_based: bool
) -> Problem:
    pixels = sum(values.values())
    if one_based:
        return Problem.of(
            "values-one-based", file=name, pixels=pixels, value=highest + 1, highest=highest
        )
    common = sorted(values, key=lambda v: (-values[v], v))
    listed = ", ".join(f"{v}: {values[v]} px" for v in common[:LISTED_VALUES])
    more = ", …" if len(common) > LISTED_VALUES else ""
    return Problem.of(
        "values-out-of-range", file=name, pixels=pixels, values=listed + more, highest=highest
    )


class _Teller:
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


def _decoders(
    listing: archive.Listing, spec: TaskSpec, *, workers: int | None, isolate: bool
) -> _Isolated | _Inline:
    if not isolate:
        return _Inline(listing, spec)
    sandbox.require()
    return _Isolated(listing, spec, workers or len(os.sched_getaffinity(0)))


class _Inline:
    """Decodes in this very process: for one's own files where no isolation exists."""

    def __init__(self, listing: archive.Listing, spec: TaskSpec) -> None:
        self._listing, self._spec = listing, spec

    def __enter__(self) -> _Inline:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def run(self, count: Count, outcome: Outcome, tell: _Teller) -> None:
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
                outcome.problems.add(_named(refused.problem, member.name))
            else:
                shape = (spec.patch_height_px, spec.patch_width_px)
                pixels = out[: spec.patch_pixels].reshape(shape)
                outcome.add(member, done, *count(member.id, pixels))
            tell.one_more()


class _Isolated:
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

    def __enter__(self) -> _Isolated:
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.close()

    def run(self, count: Count, outcome: Outcome, tell: _Teller) -> None:
        """Decode every member, giving pixels to `count`. Raises `DecodersLost`."""
        shape = (self._spec.patch_height_px, self._spec.patch_width_px)
        while not self._stopped:
            self._fill(outcome)
            if not self._at:
                break
            for lane in self._ready(outcome):
                try:
                    answer = lane.answer()
                except DecoderDied as death:
                    self._bury(death, outcome)
                    continue
                if answer is None:
                    continue
                member = self._at.pop((lane.pid, answer.slot))
                if answer.decoded is not None:
                    pixels = lane.pixels(answer.slot, self._spec.patch_pixels).reshape(shape)
                    outcome.add(member, answer.decoded, *count(member.id, pixels))
                    del pixels
                self._settle(member, answer, outcome, tell)
                lane.free.append(answer.slot)

    def _settle(
        self, member: archive.Member, answer: Answer, outcome: Outcome, tell: _Teller
    ) -> None:
        if answer.decoded is None and answer.problem is None:
            self._for_gdal.append(member)
            return
        if answer.problem is not None:
            outcome.problems.add(_named(answer.problem, member.name))
        tell.one_more()

    def _fill(self, outcome: Outcome) -> None:
        for lanes, queue in (
            (self._pool.plain, self._members),
            (self._pool.gdal, self._for_gdal),
        ):
            while queue and (lane := max(lanes, key=lambda one: len(one.free))).free:
                self._order(lane, queue.popleft(), outcome)

    def _order(self, lane: Lane, member: archive.Member, outcome: Outcome) -> None:
        slot = lane.free.pop()
        view = lane.input(slot, member.compressed_bytes)
        try:
            self._listing.read_into(member, view)
        except Refused as refused:
            outcome.problems.add(refused.problem)
            lane.free.append(slot)
            return
        finally:
            view.release()
        self._at[lane.pid, slot] = member
        task = decoder.Task(member.method, member.compressed_bytes, member.size_bytes, member.crc32)
        try:
            lane.ask(slot, task)
        except DecoderDied as death:
            self._bury(death, outcome)

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
        """Replace a dead lane. Orders are served in turn, so its oldest is the suspect."""
        lane = death.lane
        orphans = [self._at.pop((lane.pid, slot)) for slot in lane.asked_at_s]
        spare = self._pool.bury(lane)
        queue = self._for_gdal if lane.uses_gdal else self._members
        queue.extendleft(reversed(orphans))
        if orphans and orphans[0].id in self._suspects:
            # It died again, on another decoder: the file it is.
            queue.popleft()
            limit = {"limit_s": 10} if death.code == "raster-too-slow" else {}
            outcome.problems.add(Problem.of(death.code, file=orphans[0].name, **limit))
            self._stopped = True
        elif spare is None or not lane.is_ready:
            raise DecodersLost(f"a decoder ended ({death.code}) and no spare is left")
        elif orphans:
            self._suspects.add(orphans[0].id)


def _named(problem: Problem, name: str) -> Problem:
    return Problem.of(problem.code, file=name, **problem.params)
