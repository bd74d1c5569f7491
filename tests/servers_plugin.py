"""Gives each test process a data folder of its own, and servers when a test first needs them.

Loaded by ``-p``, because pytest-django reads the settings before any conftest. Processes side by
side (another terminal, xdist's workers) take the folders ``.data/test-0``, ``.data/test-1`` …: the
first that is free, so that a lone run finds its servers' files warm.

Tests of one run share the machine, too: a test marked ``runs_alone`` waits until no other is
running, and the others wait for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from challenge.embedded.data_folder import ROOT

SLOTS = 64


def take_slot(base: Path) -> Path:
    """A data folder that no other run uses; it stays locked until this process ends."""
    for number in range(SLOTS):
        folder = base / f"test-{number}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "run.lock", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return folder
    raise RuntimeError(f"{SLOTS} test runs use {base} already; end some, or set FLAIR_DATA_DIR")


def with_own_database(url: str, worker: str) -> str:
    """The address of one worker's own database (``gw0``: 1, ``gw1``: 2 …) of a Redis server."""
    number = int(worker.removeprefix("gw")) + 1
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts._replace(query=f"db={number}").geturl()
    return parts._replace(path=f"/{number}").geturl()


# xdist's workers inherit the folder of the process that started them, and must not nest in it.
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
BASE = Path(
    (WORKER and os.environ.get("FLAIR_TEST_BASE"))
    or os.environ.get("FLAIR_DATA_DIR")
    or ROOT / ".data"
)
FOLDER = take_slot(BASE)
os.environ["FLAIR_TEST_BASE"] = str(BASE)

(FOLDER / "static").mkdir(exist_ok=True)  # WhiteNoise warns where it is missing

os.environ["FLAIR_DATA_DIR"] = str(FOLDER)
os.environ["STATIC_MANIFEST"] = "0"
os.environ.setdefault("SECRET_KEY", "tests have no secret, and this key is known to everybody")
os.environ.setdefault("EMAIL_URL", "memory://")
# A busy machine must not look like a cache that is away.
os.environ.setdefault("CACHE_TIMEOUT_S", "10")
# Of the machine's own settings only the two servers' addresses are welcome in a test.
for _name in (
    "LABELS_DIR", "EVIDENCE_DIR", "STORAGE_URL", "UPLOADS_DIR", "SITE_URL", "DEBUG", "CACHE_URL",
):  # fmt: skip
    os.environ.pop(_name, None)

if WORKER:
    # Side by side, a process with a thread for every core is slower than one with its share.
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_name, "1")
    if os.environ.get("REDIS_URL"):
        os.environ["REDIS_URL"] = with_own_database(os.environ["REDIS_URL"], WORKER)


@contextlib.contextmanager
def locked(name: str, operation: int) -> Iterator[None]:
    """Hold the lock ``name`` of this checkout's tests; ``operation`` as for ``fcntl.flock``."""
    with (BASE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, operation)
        yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Keep the other workers' tests away from one that is marked ``runs_alone``."""
    if not WORKER:
        return (yield)
    alone = item.get_closest_marker("runs_alone") is not None
    with contextlib.ExitStack() as running:
        # Who waits for all others holds the queue meanwhile, so that no later test overtakes.
        with locked("queue", fcntl.LOCK_EX):
            running.enter_context(locked("running", fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        return (yield)
