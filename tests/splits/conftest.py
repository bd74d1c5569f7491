"""The world of splits, with folders of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from tests.splits.world import SplitWorld, make_split_world


@pytest.fixture
def world(tmp_path: Path, settings: Settings) -> SplitWorld:
    """A challenge that is loaded, whose labels are not installed yet."""
    made = make_split_world(tmp_path)
    settings.LABELS_DIR = made.labels_dir
    settings.EVIDENCE_DIR = made.evidence_dir
    return made
