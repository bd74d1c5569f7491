"""What killed processes left in the folder for temporary files, where that is on a lasting disk."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from django.conf import settings

PREFIX = "archive-"


def sweep() -> int:
    """Remove downloaded archives that nobody can be scoring any more; returns how many."""
    before_s = time.time() - 2 * settings.SCORER_TIMEOUT_S
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.stat().st_mtime < before_s:
                shutil.rmtree(folder)
                removed += 1
    return removed
