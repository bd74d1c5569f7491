"""Where the shared sample data lie, if they do."""

from __future__ import annotations

import os
from pathlib import Path


def shared_data() -> Path | None:
    """The folder named by ``SHARED_DATA``, else ``shared/data`` beside the checkout, else None."""
    named = os.environ.get("SHARED_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None
