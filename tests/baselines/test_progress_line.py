"""How far a command is: one line on a terminal, lines now and then in a log."""

from __future__ import annotations

import errno
import io
import os
import re
from pathlib import Path

import pytest

from baselines import cli, progress_line
from baselines.progress_line import ProgressLine


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_line, "LOG_EVERY_S", 0.0)
    monkeypatch.setattr(progress_line, "TERMINAL_EVERY_S", 0.0)


@pytest.mark.usefixtures("_at_once")
def test_a_log_gets_whole_lines() -> None:
    log = io.StringIO()
    with ProgressLine(stream=log) as line:
        line.update("patches predicted", 1, 4)
        line.update("polygons written", 7, None)
        line.say("a note")
    assert re.fullmatch(
        r"1 of 4 patches predicted, \d+ s left\n7 polygons written\na note\n", log.getvalue()
    )


def read_terminal(descriptor: int) -> str:
    """Return all that was written to a closed terminal; the kernel hands it over in pieces."""
    pieces = []
    while True:
        try:
            piece = os.read(descriptor, 1000)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux's way of saying that the other end is closed
                raise
            break
        pieces.append(piece)
    os.close(descriptor)
    return b"".join(pieces).decode()


@pytest.mark.usefixtures("_at_once")
def test_a_terminal_gets_one_line_that_goes_at_the_end() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal, ProgressLine(stream=terminal) as line:
        line.update("steps", 1, 2, note=" of epoch 1: loss 0.5")
        line.say("epoch 1: done")
        line.update("steps", 2, 2)
    said = read_terminal(ours)
    wiped = "\r\x1b[K"
    first, second, third, fourth, end = said.split(wiped)
    assert (first, end) == ("", "")
    assert second.startswith("1 of 2 steps of epoch 1: loss 0.5")
    assert third == "epoch 1: done\r\n"
    assert fourth.startswith("2 of 2 steps")


def test_a_log_is_not_flooded() -> None:
    log = io.StringIO()
    with ProgressLine(stream=log) as line:
        for done in range(1000):
            line.update("patches predicted", done, 1000)
    assert log.getvalue() == ""


@pytest.mark.usefixtures("_at_once")
def test_synth_tells_how_far_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["synth", str(tmp_path / "t"), "--patch-px", "32", "--train", "4", "--val", "0",
               "--test", "0", "--per-zone", "2", "--aerial-only", "--workers", "1"]  # fmt: skip
    assert cli.main(command) == 0
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in told] == [
        "2 of 4 patches made", "4 of 4 patches made",
    ]  # fmt: skip
