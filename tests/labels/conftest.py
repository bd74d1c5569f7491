"""A labels worker's world: its LABELS_DIR, its keys, scoring workers' keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from playwright.sync_api import Browser
from pytest_django import Settings

from tests.labels.world import LabelsWorld
from tests.splits.world import make_split_world
from tests.web.browser import chromium


@pytest.fixture
def world(transactional_db: None, tmp_path: Path, settings: Settings) -> LabelsWorld:
    """A challenge that is loaded, whose labels are not installed yet, and its owner."""
    settings.SECOND_FACTOR_REQUIRED = False
    settings.LABELS_DIR = tmp_path / "store"
    settings.LABELS_DIR.mkdir()
    settings.EVIDENCE_DIR = tmp_path / "evidence"
    settings.LABELS_KEY_DIR = tmp_path / "labels-key"
    settings.SCORING_KEY_DIR = tmp_path / "scoring-key"
    settings.SCORER_WORKERS = 1
    return LabelsWorld(make_split_world(tmp_path))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium for the tests of one module."""
    with chromium() as launched:
        yield launched
        connection.close()  # Django keeps another one while Playwright's loop runs
