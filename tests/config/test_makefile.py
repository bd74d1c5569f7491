"""The words people type: they exist, and explain themselves."""

from __future__ import annotations

import re
import subprocess

import pytest

from challenge.embedded.data_folder import ROOT

TYPED = ("install", "demo", "test", "fast", "check", "bench", "docs")


def test_make_alone_lists_what_people_type() -> None:
    listed = subprocess.run(
        ["make", "--directory", str(ROOT)], capture_output=True, text=True, check=True
    ).stdout

    for word in TYPED:
        assert re.search(rf"^  make {word} +\w", listed, re.MULTILINE), word


@pytest.mark.parametrize("name", ["run", "check", "chromium"])
def test_scripts_are_sound_and_may_be_run(name: str) -> None:
    script = ROOT / ".ci" / name

    subprocess.run(["bash", "-n", str(script)], check=True)
    assert script.stat().st_mode & 0o111


def test_the_lock_holds_every_version_that_the_project_asks_for() -> None:
    """`make lock` has been run since a dependency changed."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    before_baselines, _, rest = project.partition("baselines = [")
    after_baselines = rest.partition("]\n")[2].partition("[project.scripts]")[0]
    pins = re.findall(
        r'^  "([a-z0-9-]+)(?:\[.*\])?==([^"]+)"', before_baselines + after_baselines, re.MULTILINE
    )

    assert len(pins) > 20
    assert [pin for pin in pins if f"\n{pin[0]}=={pin[1]}" not in f"\n{lock}"] == []
