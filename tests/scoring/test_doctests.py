"""The examples in the engine's docstrings run and are right."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from scoring import engine

MODULES = [m.name for m in pkgutil.walk_packages(engine.__path__, "scoring.engine.")]
WITH_EXAMPLES = {
    "scoring.engine.metrics.metrics",
    "scoring.engine.metrics.counting",
    "scoring.engine.metrics.student",
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0
    assert found.attempted > 0 or name not in WITH_EXAMPLES
