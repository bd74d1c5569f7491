"""Gives each test run a data folder of its own, and engines when a test first needs them.

Loaded by ``-p``, because pytest-django reads the settings before any conftest. Runs side by side
(another terminal, xdist's workers) take the folders ``.data/test-0``, ``.data/test-1`` …: the
first that is free, so that a lone run finds its engines' files warm.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from challenge.config.engines.places import ROOT

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


FOLDER = take_slot(Path(os.environ.get("FLAIR_DATA_DIR") or ROOT / ".data"))

(FOLDER / "static").mkdir(exist_ok=True)  # WhiteNoise warns where it is missing

os.environ["FLAIR_DATA_DIR"] = str(FOLDER)
os.environ["STATIC_MANIFEST"] = "0"
os.environ.setdefault("SECRET_KEY", "tests have no secret")
os.environ.setdefault("EMAIL_URL", "memory://")
# Of the machine's own settings only the two servers' addresses are welcome in a test.
for _name in ("LABELS_DIR", "EVIDENCE_DIR", "STORAGE_URL", "UPLOADS_DIR", "SITE_URL", "DEBUG"):
    os.environ.pop(_name, None)
