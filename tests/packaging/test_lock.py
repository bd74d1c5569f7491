"""The locks hold hashes, everything installed is in them, and a changed file is not installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from challenge.embedded.data_folder import ROOT

LOCKS = ("requirements.lock", "requirements-build.lock")
PINS = re.compile(
    r"^([a-z0-9.-]+)==\S+(?: ; [^\\]*)? \\\n((?: +--hash=sha256:[0-9a-f]{64}.*\n)+)", re.MULTILINE
)
UV = shutil.which("uv", path=str(Path(sys.executable).parent))


def pins(lock: str) -> dict[str, str]:
    """Each package of a lock with the lines of its hashes."""
    return dict(PINS.findall((ROOT / lock).read_text(encoding="ascii")))


@pytest.mark.parametrize("lock", LOCKS)
def test_each_line_of_a_lock_has_its_hashes(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="ascii")

    assert len(PINS.findall(text)) == len(re.findall(r"^\S", text, re.MULTILINE)) > 5


def test_what_the_extras_bring_is_in_the_lock() -> None:
    """Without torch, whose builds differ from machine to machine (decision 062)."""
    installed = {
        found.name.lower().replace("_", "-").replace(".", "-") for found in distributions()
    }
    locked = set(pins("requirements.lock"))
    wanted = ["flair-challenge-platform[site,client,demo,s3,dev]"]
    seen: set[tuple[str, ...]] = set()
    while wanted:
        requirement = Requirement(wanted.pop())
        key = (canonicalize_name(requirement.name), *requirement.extras)
        if key in seen or key[0] not in installed:
            continue
        seen.add(key)
        for line in distribution(requirement.name).requires or []:
            needed = Requirement(line)
            extras = ["", *requirement.extras]
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                wanted.append(str(needed).partition(";")[0])
    names = {key[0] for key in seen} - {"flair-challenge-platform"}

    assert len(names) > 50
    assert names - locked == set()


def test_a_file_that_differs_from_its_hash_is_not_installed(tmp_path: Path) -> None:
    assert UV is not None, "uv is part of the development environment"
    lock = (ROOT / "requirements.lock").read_text(encoding="ascii")
    hashes = pins("requirements.lock")["httpx"]
    changed = tmp_path / "requirements.lock"
    changed.write_text(lock.replace(hashes, re.sub("sha256:.{8}", "sha256:00000000", hashes)))
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(
        [UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], check=True
    )
    ran = subprocess.run(
        [
            UV, "pip", "install", "--quiet", "--python", python, "--constraint", changed,
            "--build-constraints", ROOT / "requirements-build.lock",
            "--editable", f"{ROOT}[client]",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip

    assert ran.returncode != 0
    assert "Hash mismatch for `httpx" in ran.stderr


def test_every_path_of_installation_uses_both_locks() -> None:
    for name in ("Makefile", "Dockerfile", "docs/operating.md"):
        text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
        assert "--require-hashes" in text, name
        for command in re.findall(r"uv pip install .*--constraint requirements\.lock.*", text):
            assert "--build-constraints requirements-build.lock" in command, name
