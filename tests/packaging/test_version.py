"""One version: of the distribution, the commands, the client's wheel, the API and its documents."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

import scoring
from challenge.services import client_wheel
from challenge.services.installation import host
from scoring.engine.version import ENGINE_VERSION

ROOT = Path(__file__).resolve().parents[2]
RELEASES = re.compile(r"^## (\d+\.\d+\.\d+) – (\d{4}-\d{2}-\d{2})$", re.MULTILINE)


def built_version() -> str:
    """The version of a wheel that pip would build of this checkout."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"], "scoring/__init__.py has the version"
    command = [sys.executable, "-m", "hatchling", "version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_distribution_takes_the_version_of_the_package() -> None:
    assert built_version() == scoring.__version__


@pytest.mark.parametrize(("module", "name"), [("scoring.client", "flair"), ("scoring", "scoring")])
def test_each_command_says_the_version_and_the_score_engine_s(module: str, name: str) -> None:
    command = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == f"{name} {scoring.__version__} (score engine {ENGINE_VERSION})\n"


def test_the_wheel_of_the_command_has_the_version_of_its_site() -> None:
    assert client_wheel.build().file_name.startswith(f"flair_client-{scoring.__version__}+")


def test_the_api_and_its_document_have_the_version() -> None:
    written = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))

    assert written["info"]["version"] == scoring.__version__


def test_the_doctor_says_the_version() -> None:
    (finding,) = host.versions()

    assert f"platform {scoring.__version__}, " in finding.found


def test_the_changelog_s_last_release_is_the_version_or_before_it() -> None:
    """A development version comes after the last release, a release is the last one."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = [Version(number) for number, _day in RELEASES.findall(text)]
    version = Version(scoring.__version__)

    assert released == sorted(released, reverse=True)
    assert "## Unreleased" in text
    if version.is_devrelease:
        assert version > released[0]
    else:
        assert version == released[0]
