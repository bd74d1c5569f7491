"""What embedded servers and the processes beside them write is this user's alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from challenge.embedded import DataFolder, connect
from challenge.embedded.processes import ProcessGroup
from challenge.embedded.supervisor import open_log


@pytest.fixture(autouse=True)
def _open_to_everybody() -> Iterator[None]:
    """As careless a shell as there is."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_logs_of_processes_are_private_in_a_private_folder(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o755)
    (logs / "web.log").touch(0o644)
    with ProcessGroup(logs=logs) as processes:
        for name in ("web", "worker"):
            process = processes.start(name, (sys.executable, "-c", "print('a link')"))
            process.popen.wait()
        assert {mode(logs / "web.log"), mode(logs / "worker.log")} == {0o600}
        assert mode(logs) == 0o700


def test_a_rotated_log_of_the_servers_stays_private(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "engines")
    data.prepare()
    data.log.touch(0o644)
    with open_log(data):
        assert mode(data.log) == 0o600
    data.log.unlink()
    with open_log(data):
        assert mode(data.log) == 0o600


def test_the_servers_files_are_private(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "engines")
    with connect(data, quick=True):
        for path in (data.log, data.valkey_users, data.folder / "valkey-password"):
            assert mode(path) == 0o600, path
