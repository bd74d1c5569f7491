"""A home of its own for each test, and a task small enough to read."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAIR_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("FLAIR_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("FLAIR_SERVER", "FLAIR_TOKEN", "FLAIR_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
