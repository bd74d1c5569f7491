"""One small synthetic tree for the whole room; it is code, not a committed file."""

from __future__ import annotations

from pathlib import Path

import pytest

from baselines.data import synth


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FLAIR #2 tree of 64 px patches: 8 train, 4 validation, 4 test."""
    root = tmp_path_factory.mktemp("synth") / "tree"
    synth.make(root, patch_px=64, train=8, val=4, test=4, per_zone=2, dates=(9, 14))
    return root
