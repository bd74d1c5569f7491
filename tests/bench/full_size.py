"""``python -m tests.bench.full_size``: the whole FLAIR #1 test list through the site's worker.

Makes masks and predictions for all 15,700 real ids (distinct pairs, used in turn), installs the
masks as ground truth, submits the zip as a participant does and lets a real Celery worker score
it. Prints seconds and the peak memory of the worker's children. Needs about 1 GB of disk in the
temporary folder and a few minutes; everything is removed at the end.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.transform import Affine

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.5
TIMEOUT_S = 900


def tiff(pixels: NDArray[np.uint8]) -> bytes:
    """Return uint8[H, W] as an LZW GeoTIFF, in strips as GDAL writes them."""
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            height=pixels.shape[0],
            width=pixels.shape[1],
            count=1,
            dtype="uint8",
            compress="lzw",
            transform=Affine.scale(0.2, -0.2),
        ) as raster:
            raster.write(pixels, 1)
        return bytes(memory.read())


def make(folder: Path, *, distinct: int) -> tuple[Path, Path, int]:
    """Write the tree of masks and the zip of predictions; return both and the number of patches."""
    from scoring.engine import synthetic
    from scoring.engine.task import specification as specs

    task = specs.load("flair-1")
    pairs = [synthetic.pair(task, seed=seed) for seed in range(distinct)]
    masks = [tiff(pair.mask) for pair in pairs]
    predictions = [tiff(pair.prediction) for pair in pairs]
    labels, archive = folder / "msk", folder / "predictions.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for patch, mask, prediction in zip(
            task.expected, cycle(masks), cycle(predictions), strict=False
        ):
            here = labels / patch.domain / patch.zone / "msk"
            here.mkdir(parents=True, exist_ok=True)
            (here / f"MSK_{patch.id}.tif").write_bytes(mask)
            packed.writestr(f"PRED_{patch.id}.tif", prediction)
    return labels, archive, len(task.expected)


def descendants(pid: int) -> list[int]:
    """Return the ids of a process's living descendants."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(word) for word in path.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def scorer_pss_bytes(pid: int) -> int:
    """Return the proportional memory of all scorer processes below ``pid``, shared pages once."""
    total = 0
    for child in descendants(pid):
        try:
            if b"scoring.engine" not in Path(f"/proc/{child}/cmdline").read_bytes():
                continue
            rollup = Path(f"/proc/{child}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        total += sum(
            int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")
        )
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--distinct", type=int, default=200, help="distinct pairs of patches")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flair-full-") as name:
        folder = Path(name)
        os.environ.update(
            DJANGO_SETTINGS_MODULE="challenge.config.settings",
            FLAIR_DATA_DIR=str(folder / "data"),
            LABELS_DIR=str(folder / "labels"),
            EVIDENCE_DIR=str(folder / "evidence"),
        )
        figures = run(folder, distinct=arguments.distinct)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for key, value in figures.items():
            print(f"{key:>24}  {value}")
    return 0 if figures["state"] == "scored" else 1


def run(folder: Path, *, distinct: int) -> dict[str, object]:
    """Do it all in ``folder``; return the figures."""
    import django

    from challenge import embedded

    for part in ("labels", "evidence"):
        (folder / part).mkdir()
    print("Making masks and predictions …", file=sys.stderr, flush=True)
    labels, archive, patches = make(folder, distinct=distinct)
    connection = embedded.connect_if_unset()
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("load_challenge", str(ROOT / "challenges" / "flair-1"), stdout=io.StringIO())
    print("Installing the ground truth …", file=sys.stderr, flush=True)
    started_s = time.monotonic()
    call_command(
        "install_ground_truth",
        *("flair-1", "--labels", str(labels), "--phase", "test"),
        stdout=io.StringIO(),
    )
    install_s = time.monotonic() - started_s
    worker = subprocess.Popen(
        [
            *(sys.executable, "-m", "celery", "--app", "challenge.config.celery:app", "worker"),
            *("--concurrency", "1", "--queues", "scoring,default", "--loglevel", "WARNING"),
        ],
        cwd=ROOT,
    )
    try:
        wait_for_worker()
        figures = submit(archive, worker_pid=worker.pid)
    finally:
        worker.terminate()
        worker.wait(timeout=30)
    truth_bytes = sum(path.stat().st_size for path in (folder / "labels").rglob("*.*"))
    evidence_bytes = sum(path.stat().st_size for path in (folder / "evidence").iterdir())
    del connection
    return {
        "patches": patches,
        "archive_bytes": archive.stat().st_size,
        "truth_bytes": truth_bytes,
        "evidence_bytes": evidence_bytes,
        "install_s": round(install_s, 1),
        **figures,
    }


def wait_for_worker() -> None:
    """Return once a worker answers: its start is no part of a submission's wait."""
    from challenge.config.celery import app

    deadline_s = time.monotonic() + 60
    while not app.control.ping(timeout=0.5):
        if time.monotonic() > deadline_s:
            raise TimeoutError("no worker answers")


def submit(archive: Path, *, worker_pid: int) -> dict[str, object]:
    """Submit as a participant does and wait for the verdict."""
    from django.utils import timezone

    from challenge.models import Challenge, Evaluation, Phase, User
    from challenge.services.submissions import submissions
    from challenge.services.submissions.submissions import MethodFacts
    from challenge.services.teams import teams

    phase = Phase.objects.get(challenge__slug="flair-1", slug="test")
    now = timezone.now()
    Phase.objects.filter(pk=phase.pk).update(opens_at=now, closes_at=None, is_published=True)
    Challenge.objects.filter(pk=phase.challenge_id).update(is_published=True)
    phase.refresh_from_db()
    user = User.objects.create_user("full", "full@example.org", "not a password that matters 1")
    teams.register(
        user=user,
        challenge=phase.challenge,
        accept_terms_version=phase.challenge.terms_version,
    )
    started_s = time.monotonic()
    with archive.open("rb") as stream:
        submission = submissions.submit_stream(
            user=user,
            phase=phase,
            stream=stream,
            original_name=archive.name,
            method=MethodFacts(method_name="full size"),
        )
    accepted_s = time.monotonic()
    print("Accepted; scoring …", file=sys.stderr, flush=True)
    peak = 0
    while True:
        evaluation = Evaluation.objects.get(submission=submission)
        if evaluation.finished_at is not None:
            break
        if time.monotonic() - accepted_s > TIMEOUT_S:
            raise TimeoutError(f"still {evaluation.state} ({evaluation.stage})")
        peak = max(peak, scorer_pss_bytes(worker_pid))
        time.sleep(POLL_S)
    finished_s = time.monotonic()
    score = getattr(evaluation, "score", None)
    return {
        "state": evaluation.state,
        "problems": evaluation.problems[:3],
        "store_s": round(accepted_s - started_s, 1),
        "accepted_to_scored_s": round(finished_s - accepted_s, 1),
        "scorer_s": None if score is None else round(score.seconds, 1),
        "miou": None if score is None else score.miou,
        "peak_pss_mb": round(peak / 1e6),
        "zones": None if score is None else len(score.card["zones"]),
    }


if __name__ == "__main__":
    sys.exit(main())
