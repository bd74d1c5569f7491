"""SCORING_KERNELS: which kernels, and what a wrong word says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scoring.engine.kernels import choice, compiled, counting, strips


@pytest.mark.parametrize(
    ("word", "is_compiled"), [(None, True), ("", True), ("compiled", True), ("plain", False)]
)
def test_the_words(word: str | None, is_compiled: bool) -> None:
    environ = {} if word is None else {choice.VARIABLE: word}
    assert choice.use_compiled(environ) is is_compiled


def test_another_word_is_an_error() -> None:
    with pytest.raises(ValueError, match="SCORING_KERNELS is 'fast'; allowed are compiled, plain"):
        choice.use_compiled({choice.VARIABLE: "fast"})


def test_the_plain_kernels_need_no_llvmlite() -> None:
    script = """
import sys
sys.modules["llvmlite"] = sys.modules["llvmlite.binding"] = None
from scoring.engine.decode import decoder
from scoring.engine.kernels import counting
counting.counter(n_classes=13, n_labels=19)
decoder.Decoder(height_px=8, width_px=8, member_bytes=1)
"""
    root = Path(__file__).resolve().parents[3]
    subprocess.run(
        [sys.executable, "-c", script], cwd=root, env={choice.VARIABLE: "plain"}, check=True,
        timeout=300,
    )  # fmt: skip


def test_a_big_endian_processor_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "byteorder", "big")
    with pytest.raises(RuntimeError, match="SCORING_KERNELS=plain"):
        compiled.function("strips", "undo_predictor", None)


def test_the_smallest_kernel_that_holds_the_classes_is_used() -> None:
    found = [counting.compiled_classes(n) for n in (2, 8, 9, 13, 16, 17, 32)]
    assert found == [8, 8, 16, 16, 16, 32, 32]


@pytest.mark.parametrize("word", choice.ALLOWED)
def test_more_than_32_classes_are_refused(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, word)
    with pytest.raises(ValueError, match="33 classes; at most 32"):
        counting.counter(n_classes=33, n_labels=40)


def test_plain_strips_leave_lzw_to_gdal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert strips.load().decode_lzw is not None
    monkeypatch.setenv(choice.VARIABLE, "plain")
    assert strips.load().decode_lzw is None
