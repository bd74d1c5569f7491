"""A site as in production, with a labels worker and a scoring worker, for one whole challenge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from playwright.sync_api import Browser

from tests.ceremony.world import World, running
from tests.web.browser import chromium


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with chromium() as launched:
        yield launched
        connection.close()  # Django keeps another one while Playwright's loop runs


@pytest.fixture
def world(transactional_db: None, tmp_path: Path, browser: Browser) -> Iterator[World]:
    """The site, its workers and its people; no challenge yet."""
    with running(tmp_path, browser) as made:
        yield made
