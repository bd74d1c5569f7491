"""The demo's processes end with the process that started them, however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from challenge.embedded.data_folder import ROOT
from challenge.embedded.processes import ProcessEnded, ProcessGroup
from tests.embedded.test_servers import alive

SLEEPER = (sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)")
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
STUBBORN = (sys.executable, "-c", DEAF + "print('here', flush=True); time.sleep(600)")
TIMEOUT_S = 15.0


def wait_for_words(log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while "here" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_everything_ends_with_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("challenge.embedded.processes.STOP_S", 0.5)
    with ProcessGroup(logs=tmp_path) as group:
        members = [group.start("gentle", SLEEPER), group.start("stubborn", STUBBORN)]
        for member in members:
            wait_for_words(member.log)
        group.check()

    assert [member.popen.poll() for member in members] == [-15, -9]


def test_a_process_that_ends_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    with ProcessGroup(logs=tmp_path) as group:
        failing = group.start("failing", (sys.executable, "-c", "raise SystemExit('no labels')"))
        failing.popen.wait()

        with pytest.raises(ProcessEnded, match=r"failing ended with code 1(.|\n)*no labels"):
            group.check()


def test_everything_ends_with_a_killed_parent(tmp_path: Path) -> None:
    words = (
        "import sys, time; from pathlib import Path; "
        "from challenge.embedded.processes import ProcessGroup;"
        "group = ProcessGroup(logs=Path(sys.argv[1]));"
        f"print(group.start('sleeper', {SLEEPER!r}).popen.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", words, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    with parent.stdout:
        sleeper = int(parent.stdout.readline())
    wait_for_words(tmp_path / "sleeper.log")
    parent.kill()
    parent.wait()

    deadline = time.monotonic() + TIMEOUT_S
    while alive(sleeper):
        assert time.monotonic() < deadline, "the sleeper outlived its parent"
        time.sleep(0.05)


def test_the_environment_is_added_to_ours(tmp_path: Path) -> None:
    words = "import os; print(os.environ['LABELS_DIR'], 'PATH' in os.environ)"
    with ProcessGroup(logs=tmp_path) as group:
        process = group.start(
            "asks", (sys.executable, "-c", words), environment={"LABELS_DIR": "/labels"}
        )
        process.popen.wait()

    assert process.tail() == "/labels True"


def test_two_runs_of_the_tests_never_share_a_folder() -> None:
    words = "from tests import servers_plugin; print(servers_plugin.FOLDER)"
    base = os.environ["FLAIR_DATA_DIR"]
    other = subprocess.run(
        [sys.executable, "-c", words],
        cwd=ROOT,
        env=os.environ | {"FLAIR_DATA_DIR": str(Path(base).parent)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert Path(other.stdout.strip()).parent == Path(base).parent
    assert Path(other.stdout.strip()) != Path(base)
