"""Hostile bytes make a kernel neither touch a byte that is not its own nor disagree with Python."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


def _fuzzed(*arguments: str, script: str = "") -> subprocess.CompletedProcess[str]:
    """In a process of its own: a byte too far ends it."""
    start = ["-c", script] if script else ["-m", "tests.scoring.kernels.fuzz"]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("checked", [(), ("--checked",)], ids=["committed", "checked"])
def test_hostile_bytes(checked: tuple[str, ...]) -> None:
    done = _fuzzed("--cases", "400", "--seed", "7", *checked)

    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["findings"] == []
    assert report["cases"] == {"lzw": 400, "counting": 400, "predictor": 400}
    assert report["valid_streams"] > 100


@pytest.mark.parametrize(
    ("kernel", "right", "wrong"),
    [
        ("lzw", "at + length > stop", "0"),
        ("lzw", "code >= free", "0"),
        ("lzw", "bit + width > end_bit", "bit > end_bit + 64"),
        ("lzw", "free > TABLE_CODES", "0"),
        ("lzw", "out[at + length - 1] = out[at];", ";"),
        ("counting", "smaller(labels[run], n_labels - 1)", "labels[run]"),
        ("counting", "++run == runs", "++run > runs"),
        ("predictor", "at < begin + row", "at <= begin + row"),
    ],
)
def test_the_fuzzer_finds_what_it_looks_for(
    kernel: str, right: str, wrong: str, tmp_path: Path
) -> None:
    """The C with one check taken out is caught, by its numbers or by its death."""
    source = "counting.c" if kernel == "counting" else "strips.c"
    script = f"""
import shutil, sys
from pathlib import Path
from scoring.engine.kernels import build
from tests.scoring.kernels import fuzz
folder = Path({str(tmp_path)!r})
for path in build.FOLDER.glob("*.c"):
    shutil.copy(path, folder)
text = (folder / {source!r}).read_text()
assert text.count({right!r}) == 1
(folder / {source!r}).write_text(text.replace({right!r}, {wrong!r}))
build.FOLDER = folder
sys.exit(fuzz.main())
"""
    done = _fuzzed("--cases", "300", "--only", kernel, "--checked", script=script)

    caught = {1: "findings", -signal.SIGSEGV: "a page", -signal.SIGILL: "a check"}
    assert done.returncode in caught, done.stdout + done.stderr
    if done.returncode == 1:
        assert json.loads(done.stdout)["findings"]
