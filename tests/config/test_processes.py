"""The foreman of the demo: what it starts ends, however the foreman ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from challenge.config.engines.places import ROOT
from challenge.config.processes import Crew, ProcessEnded
from tests.config.test_engines import alive

SLEEPER = (sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)")
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
STUBBORN = (sys.executable, "-c", DEAF + "print('here', flush=True); time.sleep(600)")
PATIENCE_S = 15.0


def wait_for_words(log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while "here" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_everything_ends_with_the_crew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("challenge.config.processes.STOP_S", 0.5)
    with Crew(logs=tmp_path) as crew:
        members = [crew.start("gentle", SLEEPER), crew.start("stubborn", STUBBORN)]
        for member in members:
            wait_for_words(member.log)
        crew.check()

    assert [member.popen.poll() for member in members] == [-15, -9]


def test_a_process_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with Crew(logs=tmp_path) as crew:
        failing = crew.start("failing", (sys.executable, "-c", "raise SystemExit('no labels')"))
        failing.popen.wait()

        with pytest.raises(ProcessEnded, match=r"failing ended with code 1(.|\n)*no labels"):
            crew.check()


def test_a_killed_foreman_takes_everything_along(tmp_path: Path) -> None:
    words = (
        "import sys, time; from pathlib import Path; from challenge.config.processes import Crew;"
        "crew = Crew(logs=Path(sys.argv[1]));"
        f"print(crew.start('sleeper', {SLEEPER!r}).popen.pid, flush=True); time.sleep(600)"
    )
    foreman = subprocess.Popen(
        [sys.executable, "-c", words, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert foreman.stdout is not None
    with foreman.stdout:
        sleeper = int(foreman.stdout.readline())
    wait_for_words(tmp_path / "sleeper.log")
    foreman.kill()
    foreman.wait()

    deadline = time.monotonic() + PATIENCE_S
    while alive(sleeper):
        assert time.monotonic() < deadline, "the sleeper outlived its foreman"
        time.sleep(0.05)


def test_the_environment_is_added_to_ours(tmp_path: Path) -> None:
    words = "import os; print(os.environ['LABELS_DIR'], 'PATH' in os.environ)"
    with Crew(logs=tmp_path) as crew:
        process = crew.start(
            "asks", (sys.executable, "-c", words), environment={"LABELS_DIR": "/labels"}
        )
        process.popen.wait()

    assert process.tail() == "/labels True"


def test_two_runs_of_the_tests_never_share_a_folder() -> None:
    words = "from tests import engines_plugin; print(engines_plugin.FOLDER)"
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
