"""The units of docs/systemd: accepted by systemd, commands of compose, labels in workers alone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from challenge.embedded.data_folder import ROOT
from tests import compose

UNITS = ROOT / "docs" / "systemd"
COMMON = UNITS / "flair-.service.d" / "common.conf"
SERVICES = ("web", "worker", "labels", "housekeeping", "beat", "gpu-worker")
# Of `systemd-analyze security`: 0 is closed, 10 is open; a bare service has 9.6.
EXPOSURE_MAX = "25"
LABELS = "/var/lib/flair-labels"


def entries(unit: str) -> dict[str, list[str]]:
    """Every value of each key of a unit, those of all units included."""
    found: dict[str, list[str]] = {}
    for file in (COMMON, UNITS / f"flair-{unit}.service"):
        for key, value in re.findall(r"^(\w+)=(.*)$", file.read_text(), re.MULTILINE):
            found.setdefault(key, []).append(value)
    return found


def words(unit: str, key: str) -> list[str]:
    return " ".join(entries(unit).get(key, [])).split()


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_runs_what_compose_runs_and_starts_again(name: str) -> None:
    program, *arguments = words(name, "ExecStart")
    in_compose = [
        word.replace("%h", "%H").replace("--pidfile", "--pidfile=")
        for word in compose.services()[name]["command"]
        if word
    ]

    assert [Path(program).name, *arguments] == in_compose
    assert entries(name)["Restart"] == ["always"]
    assert entries(name)["StartLimitIntervalSec"] == ["0"]


@pytest.mark.parametrize("name", ["web", "housekeeping", "beat", "gpu-worker", "migrate"])
def test_units_without_labels_cannot_open_them(name: str) -> None:
    assert f"-{LABELS}" in words(name, "InaccessiblePaths")
    assert not [word for word in words(name, "Environment") if word.startswith("LABELS_DIR=")]


def test_scoring_workers_read_labels_and_write_none() -> None:
    assert f"LABELS_DIR={LABELS}" in words("worker", "Environment")
    assert words("worker", "ProtectSystem") == ["strict"]
    assert "flair-labels" not in words("worker", "StateDirectory")
    assert "flair-labels" in words("labels", "StateDirectory")


def test_the_backup_reads_everything_and_writes_its_folder() -> None:
    assert words("backup", "ExecStart")[1:3] == ["backup", words("backup", "ReadWritePaths")[0]]
    told = {word.partition("=")[0] for word in words("backup", "Environment")}
    assert {"LABELS_DIR", "EVIDENCE_DIR", "LABELS_KEY_DIR", "SCORING_KEY_DIR"} <= told
    assert "--keep" in words("backup", "ExecStart")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_accepts_the_units_and_finds_them_closed(tmp_path: Path) -> None:
    copied = tmp_path / "units"
    shutil.copytree(UNITS, copied)
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("celery", "gunicorn", "flair-manage"):
        (programs / program).touch(mode=0o755)
    files = [*copied.glob("*.service"), copied / COMMON.relative_to(UNITS)]
    for file in files:
        text = file.read_text().replace("/opt/flair/bin", str(programs))
        file.write_text(text.replace("WorkingDirectory=/opt/flair", f"WorkingDirectory={tmp_path}"))
    units = sorted(str(unit) for unit in copied.iterdir() if unit.is_file())

    verified = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr.strip()) == (0, "")
    for unit in units:
        if unit.endswith(".service"):
            judged = subprocess.run(
                [
                    "systemd-analyze",
                    "security",
                    "--offline=true",
                    "--threshold",
                    EXPOSURE_MAX,
                    unit,
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            assert judged.returncode == 0, judged.stdout[-300:]
