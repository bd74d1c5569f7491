"""The scorer's process: four ways to die, four verdicts, and the caller lives on."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scoring.engine.kernels import choice
from scoring.engine.scorer import child, decoding, pipeline
from scoring.engine.scorer.recorder import PatchRecorder
from scoring.engine.scorer.verdicts import (
    Progress,
    Rejected,
    Scored,
    ScorerFailure,
    Valid,
)
from scoring.engine.truth import store
from tests.scoring.attacks import tiffs, zips
from tests.scoring.attacks.world import IDS, NAMES, World, class_map

PLENTY_S = 60.0


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def truth(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("child") / "truth"
    world.write_truth(path)
    return path


@pytest.fixture(scope="module")
def upload(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("child") / "upload.zip"
    path.write_bytes(world.archive())
    return path


def descendants(pid: int) -> Iterator[int]:
    """Processes started by `pid`, and by them."""
    for one in children(pid):
        yield one
        yield from descendants(one)


def children(pid: int) -> list[int]:
    """Processes started by `pid`, in one pass: a scorer ends within a second."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(status.parent.name))
    return found


def scorers() -> list[int]:
    """This process's scorers (not their decoders)."""
    found = []
    for pid in children(os.getpid()):
        with contextlib.suppress(OSError):
            if b"scoring.engine.scorer.main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def test_it_works(world: World, truth: Path, upload: Path, tmp_path: Path) -> None:
    reports: list[Progress] = []
    verdict = child.run(
        spec=world.spec,
        truth_path=truth,
        archive_path=upload,
        evidence_path=tmp_path / "evidence",
        timeout_s=PLENTY_S,
        on_progress=reports.append,
    )
    assert isinstance(verdict, Scored)
    assert verdict.card["patches"] == len(IDS)
    assert verdict.evidence_path == tmp_path / "evidence"
    assert verdict.evidence_path.stat().st_size > 0
    assert {p.stage for p in reports} == {"scoring", "bootstrapping"}
    assert reports[-1].patches_done == reports[-1].patches_total == len(IDS)
    assert not scorers()


def test_a_folder_is_scored_like_its_zip(
    world: World, truth: Path, upload: Path, tmp_path: Path
) -> None:
    for name, data in world.files.items():
        (tmp_path / name).write_bytes(data)
    cards = []
    for path in (upload, tmp_path):
        verdict = child.run(
            spec=world.spec, truth_path=truth, archive_path=path, evidence_path=None,
            timeout_s=PLENTY_S,
        )  # fmt: skip
        assert isinstance(verdict, Scored)
        cards.append({k: v for k, v in verdict.card.items() if k != "seconds"})
    assert cards[0] == cards[1]


def test_a_link_in_a_folder_is_refused(world: World, tmp_path: Path) -> None:
    for name in NAMES[1:]:
        (tmp_path / name).write_bytes(world.files[name])
    (tmp_path / NAMES[0]).symlink_to("/etc/passwd")
    verdict = child.validate(
        spec=world.spec, archive_path=tmp_path, expected_ids=IDS, timeout_s=PLENTY_S
    )
    assert isinstance(verdict, Rejected)
    assert ("member-not-regular", NAMES[0]) in {(p.code, p.file) for p in verdict.problems}


def test_a_patch_that_was_never_decoded_is_no_score(
    world: World, truth: Path, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with the decoders, it cannot become a score over fewer patches."""
    run = decoding.InProcessDecoding.run

    def forgetful(self: decoding.InProcessDecoding, recorder: PatchRecorder) -> None:
        members = self._listing.members
        self._listing.members = members[:-1]
        run(self, recorder)
        self._listing.members = members

    monkeypatch.setattr(decoding.InProcessDecoding, "run", forgetful)
    wanted = f"1 patches were not decoded, the first is {IDS[-1]}"
    with pytest.raises(RuntimeError, match=wanted):
        pipeline.score(spec=world.spec, truth_path=truth, upload_path=upload, isolate=False)
    with pytest.raises(RuntimeError, match=wanted):
        pipeline.validate(spec=world.spec, upload_path=upload, expected_ids=IDS, isolate=False)


def test_a_check_needs_no_truth(world: World, upload: Path) -> None:
    verdict = child.validate(
        spec=world.spec, archive_path=upload, expected_ids=IDS, timeout_s=PLENTY_S
    )
    assert isinstance(verdict, Valid)
    assert verdict.report["patches"] == len(IDS)
    assert sum(verdict.report["predicted_frequencies"]) == pytest.approx(1)


def test_a_check_sees_missing_and_broken_files_at_once(world: World, tmp_path: Path) -> None:
    path = tmp_path / "upload.zip"
    broken = zips.Item(NAMES[1].encode(), tiffs.by_tifffile(world.first)[:-9])
    path.write_bytes(zips.archive([world.items()[0], broken]))
    verdict = child.validate(
        spec=world.spec, archive_path=path, expected_ids=IDS, timeout_s=PLENTY_S
    )
    assert isinstance(verdict, Rejected)
    assert [p.code for p in verdict.problems] == ["missing-patches", "raster-truncated"]


def test_a_rejected_upload_leaves_no_evidence(world: World, truth: Path, tmp_path: Path) -> None:
    path, pixels = tmp_path / "upload.zip", world.first.copy()
    pixels[9, 9] = 255
    path.write_bytes(world.with_first(pixels))
    verdict = child.run(
        spec=world.spec, truth_path=truth, archive_path=path,
        evidence_path=tmp_path / "evidence", timeout_s=PLENTY_S,
    )  # fmt: skip
    assert isinstance(verdict, Rejected)
    (problem,) = verdict.problems
    assert problem.message == (
        f"{NAMES[0]}: 1 pixel has a value that is no class (255: 1 px); allowed are 0 to 12."
    )
    assert not (tmp_path / "evidence").exists()


def test_problems_are_listed_in_the_archives_order(world: World, tmp_path: Path) -> None:
    path, wrong = tmp_path / "upload.zip", world.first.copy()
    wrong[0, 0] = 99
    slow, quick = tiffs.by_gdal(wrong, compress="zstd"), b"no raster"
    ids = [f"{n:06d}" for n in range(61713, 61743)]
    path.write_bytes(
        zips.archive(
            [
                zips.Item(f"PRED_{i}.tif".encode(), slow if n % 3 == 0 else quick)
                for n, i in enumerate(ids)
            ]
        )
    )
    verdict = child.validate(
        spec=world.spec, archive_path=path, expected_ids=ids, timeout_s=PLENTY_S, workers=2
    )
    assert isinstance(verdict, Rejected)
    assert [p.file for p in verdict.problems] == [f"PRED_{i}.tif" for i in ids[:20]]
    assert verdict.more == 10


def broken(world: World, truth: Path, upload: Path, **changes: object) -> ScorerFailure:
    """The verdict of a run that is meant to break."""
    settings = {"evidence_path": None, "timeout_s": PLENTY_S} | changes
    verdict = child.run(
        spec=world.spec,
        truth_path=truth,
        archive_path=upload,
        **settings,  # type: ignore[arg-type]
    )
    assert isinstance(verdict, ScorerFailure)
    assert not scorers()
    return verdict


def test_death_by_a_signal(world: World, truth: Path, upload: Path) -> None:
    def kill(progress: Progress) -> None:
        for pid in scorers():
            os.kill(pid, signal.SIGKILL)

    verdict = broken(world, truth, slow(upload, world), on_progress=kill)
    assert verdict.code == "scorer-killed"
    assert "signal 9" in verdict.detail
    assert not verdict.is_likely_the_archive


@pytest.mark.parametrize("deaths", [1, 2])
def test_decoders_killed_on_the_way_change_no_number(
    world: World, deaths: int, tmp_path: Path
) -> None:
    listed, files = world.spec.expected[:300], list(world.files.values())
    masks = [class_map(n, low=1, high=19) for n in range(3)]
    store.from_arrays(
        ((p, masks[n % 3]) for n, p in enumerate(listed)), tmp_path / "truth", spec=world.spec
    )
    (tmp_path / "upload.zip").write_bytes(
        zips.archive(
            [
                zips.Item(f"PRED_{p.id}.tif".encode(), files[n % 3], method=0)
                for n, p in enumerate(listed)
            ]
        )
    )
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        if progress.stage != "scoring" or not progress.patches_done or killed:
            return
        for scorer in scorers():
            # The first to be forked are the plain decoders at work.
            for pid in sorted(descendants(scorer))[:deaths]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    def card(on_progress: Callable[[Progress], None] | None) -> dict[str, Any]:
        verdict = child.run(
            spec=world.spec, truth_path=tmp_path / "truth", archive_path=tmp_path / "upload.zip",
            evidence_path=None, timeout_s=PLENTY_S, workers=2, on_progress=on_progress,
        )  # fmt: skip
        assert isinstance(verdict, Scored), verdict
        return {k: v for k, v in verdict.card.items() if k != "seconds"}

    undisturbed = card(None)
    assert undisturbed["patches"] == len(listed)
    for _ in range(40):  # on a busy machine the scorer may be done before its news are read
        killed.clear()
        assert card(kill) == undisturbed
        if len(killed) == deaths:
            break
    assert len(killed) == deaths


def slow(upload: Path, world: World) -> Path:
    """An upload that keeps a scorer busy for half a second: GDAL has to be imported for it."""
    path = upload.with_name("slow.zip")
    if not path.exists():
        items = [
            zips.Item(n.encode(), tiffs.by_gdal(p, compress="zstd"))
            for n, p in zip(NAMES, world.pixels.values(), strict=True)
        ]
        path.write_bytes(zips.archive(items))
    return path


@pytest.mark.parametrize("megabytes", [0.2, 1, 8, 40])
def test_lack_of_memory(world: World, truth: Path, upload: Path, megabytes: float) -> None:
    verdict = broken(world, truth, upload, memory_bytes=int(megabytes * 1e6))
    assert (verdict.code, verdict.is_likely_the_archive) == ("scorer-out-of-memory", True)


def test_little_memory_is_enough(world: World, truth: Path, upload: Path) -> None:
    """Less than a decoder may take by itself: it then takes what the scorer may."""
    verdict = child.run(
        spec=world.spec, truth_path=truth, archive_path=upload, evidence_path=None,
        timeout_s=60, memory_bytes=300_000_000,
    )  # fmt: skip
    assert isinstance(verdict, Scored)


def test_the_plain_kernels_give_the_same_card(
    world: World, truth: Path, upload: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In sandboxed decoders, LZW by GDAL; the evidence is the same byte by byte."""
    cards = {}
    for kernels in choice.ALLOWED:
        monkeypatch.setenv(choice.VARIABLE, kernels)
        verdict = child.run(
            spec=world.spec, truth_path=truth, archive_path=upload,
            evidence_path=tmp_path / kernels, timeout_s=PLENTY_S,
        )  # fmt: skip
        assert isinstance(verdict, Scored)
        cards[kernels] = {**verdict.card, "seconds": 0}
    assert cards["plain"] == cards["compiled"]
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "compiled").read_bytes()


def test_unknown_kernels_are_our_own_fault(
    world: World, truth: Path, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(choice.VARIABLE, "fast")
    verdict = broken(world, truth, upload)
    assert verdict.code == "scorer-error"
    assert "SCORING_KERNELS is 'fast'; allowed are compiled, plain" in verdict.detail


def test_a_scorer_beyond_its_time_is_killed(world: World, truth: Path, upload: Path) -> None:
    started_s = time.monotonic()
    verdict = broken(world, truth, upload, timeout_s=0.05)
    assert verdict.code == "scorer-timeout"
    assert time.monotonic() - started_s < 30


@pytest.mark.parametrize(
    ("script", "code", "detail"),
    [
        ("exit 3", "scorer-silent", "exit status 3"),
        ("exec >&-; sleep 60", "scorer-silent", "closed its output"),
        ("echo all is well", "scorer-error", "not understood"),
        ("echo '[]'", "scorer-error", "not understood"),
        ("yes | tr -d '\\n'", "scorer-error", "more output"),
        ("kill -SEGV $$", "scorer-killed", "signal 11"),
        ("echo why >&2; exit 75", "scorer-out-of-memory", "why"),
    ],
)
def test_a_closed_pipe_and_other_ends_of_the_scorer_fail_it(
    script: str,
    code: str,
    detail: str,
    world: World,
    truth: Path,
    upload: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(child, "EXIT_WAIT_S", 0.5)
    monkeypatch.setattr(child, "MAX_OUTPUT_BYTES", 1_000_000)
    verdict = broken(world, truth, upload)
    assert verdict.code == code
    assert detail in verdict.detail


def test_cancelling(world: World, truth: Path, upload: Path) -> None:
    assert broken(world, truth, upload, should_stop=lambda: True).code == "scorer-cancelled"


def test_an_absent_truth_is_our_fault(world: World, upload: Path, tmp_path: Path) -> None:
    verdict = broken(world, tmp_path / "nothing", upload)
    assert verdict.code == "scorer-error"
    assert "nothing" in verdict.detail


def test_a_job_that_is_not_understood_is_our_fault(world: World, truth: Path, upload: Path) -> None:
    nonsense = dataclasses.replace(world.spec, id="NOT A SLUG")
    verdict = child.run(
        spec=nonsense, truth_path=truth, archive_path=upload, evidence_path=None,
        timeout_s=PLENTY_S,
    )  # fmt: skip
    assert isinstance(verdict, ScorerFailure)
    assert verdict.code == "scorer-error"


def test_no_credentials_are_handed_on(
    world: World, truth: Path, upload: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://user:hunter2@host/db")
    seen: list[bytes] = []

    done = threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            for pid in scorers():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended
                    seen.append(Path(f"/proc/{pid}/environ").read_bytes())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        child.run(
            spec=world.spec, truth_path=truth, archive_path=slow(upload, world),
            evidence_path=None, timeout_s=PLENTY_S,
        )  # fmt: skip
    finally:
        done.set()
        watcher.join()
    assert any(b"LANG=C.UTF-8" in environment for environment in seen)
    assert not any(b"hunter2" in environment for environment in seen)


def test_what_is_active_is_logged(
    world: World, truth: Path, upload: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="scoring.engine.scorer.child"):
        child.run(
            spec=world.spec, truth_path=truth, archive_path=upload, evidence_path=None,
            timeout_s=PLENTY_S,
        )  # fmt: skip
    assert any("seccomp" in record.getMessage() for record in caplog.records)
