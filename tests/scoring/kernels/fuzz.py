"""Feeds the kernels hostile bytes, between forbidden pages, and compares with plain Python.

Usage: python -m tests.scoring.kernels.fuzz --cases 2000 [--seed N] [--only KERNEL] [--checked].
With ``--checked`` the C is compiled with clang's checks of undefined behaviour, each of which ends
the process, in place of the committed IR. Exit status 1 with a list of findings; a kernel that
touches a byte that is not its own ends the process by a signal.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scoring.engine.kernels import build, choice, compiled, counting, strips
from tests.scoring.kernels import lzw_codes
from tests.scoring.kernels.guarded import Guarded

# Behind its buffers the LZW kernel may touch this much and no more (`strips.c`).
SOURCE_SLACK, OUT_SLACK = 6, 31
_MARK = 0xA5
_ADDRESS, _SIZE = compiled.ADDRESS, compiled.SIZE
_LZW = (_ADDRESS, _SIZE, _SIZE, _ADDRESS, _SIZE, _SIZE, _ADDRESS)
_COUNTING = (_ADDRESS, _SIZE, _ADDRESS, _SIZE, _ADDRESS, _SIZE)
_PREDICTOR = (_ADDRESS, _SIZE, _SIZE, _SIZE)

Functions = dict[str, Any]


@dataclass
class Report:
    """What was tried and found."""

    cases: Counter[str] = field(default_factory=Counter)
    valid_streams: int = 0
    findings: list[str] = field(default_factory=list)


# The IR file, the function in it, its result and its parameters.
SIGNATURES: dict[str, tuple[str, str, Any, tuple[Any, ...]]] = {
    "lzw": ("strips", "decode_lzw", compiled.INT32, _LZW),
    "predictor": ("strips", "undo_predictor", None, _PREDICTOR),
} | {
    f"counting_{n}": (f"counting_{n}", "count_runs", None, _COUNTING) for n in counting.CLASS_COUNTS
}


def committed() -> Functions:
    """The functions of the committed IR, as the engine runs them."""
    return {
        name: compiled.function(ir_name, function_name, result, *parameters)
        for name, (ir_name, function_name, result, parameters) in SIGNATURES.items()
    }


def checked(folder: Path) -> Functions:
    """The same functions from the C, compiled into `folder` with checks that trap."""
    libraries = {}
    for name, (source, *options) in build.SOURCES.items():
        (folder / source).write_bytes((build.FOLDER / source).read_bytes())
        build.compiler(
            "-std=c17", "-ffreestanding", "-O1", "-g0", "-shared", "-fPIC", "-nostdlib",
            "-fsanitize=undefined", "-fsanitize-trap=undefined", *options,
            "-o", f"{name}.so", source, folder=folder,
        )  # fmt: skip
        libraries[name] = ctypes.CDLL(str(folder / f"{name}.so"))
    functions: Functions = {}
    for name, (library_name, function_name, result, parameters) in SIGNATURES.items():
        function = libraries[library_name][function_name]
        function.restype, function.argtypes = result, parameters
        functions[name] = function
    return functions


def fuzz_lzw(functions: Functions, rng: random.Random, report: Report) -> str | None:
    """One stream; what is wrong, None when all is well."""
    codes, ends = lzw_codes.any_codes(rng, most_bytes=rng.choice((600, 40_000)))
    data = bytearray(lzw_codes.packed(codes))
    for _ in range(rng.choice((0, 0, 0, 1, 3))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.1:
        data = bytearray(b"\x80\x00" + rng.randbytes(rng.randrange(200)))
    begin, first = rng.choice((0, 0, 5)), rng.choice((0, 0, 77))
    at_start = rng.random() < 0.5
    size = rng.choice((ends[-1], ends[-1], rng.choice(ends), rng.randrange(1, ends[-1] + 50)))
    source = Guarded(begin + len(data) + SOURCE_SLACK, at_start=at_start)
    out = Guarded(first + size + OUT_SLACK, at_start=at_start)
    table = Guarded(strips.TABLE_ENTRIES, dtype=np.uint64, at_start=at_start)
    source.array[begin : begin + len(data)] = np.frombuffer(bytes(data), dtype=np.uint8)
    source.array[begin + len(data) :] = np.frombuffer(rng.randbytes(SOURCE_SLACK), dtype=np.uint8)
    stale = rng.choice((0, rng.getrandbits(64), rng.randrange(1, 9) << 32 | rng.randrange(9)))
    table.array[:] = stale  # what the stream before left
    out.array[:] = _MARK
    status = functions["lzw"](
        source.address, begin, begin + len(data), out.address, first, first + size, table.address
    )
    wanted = lzw_codes.decoded(bytes(data), size)
    report.valid_streams += wanted is not None
    if status != (wanted is not None):
        return f"lzw: {status} where the reference says {wanted is not None}"
    if wanted is not None and out.array[first : first + size].tobytes() != wanted:
        return "lzw: other pixels than the reference's"
    if (out.array[:first] != _MARK).any():
        return "lzw: wrote in front of its part"
    return None


def fuzz_counting(functions: Functions, rng: random.Random, report: Report) -> str | None:
    """One record that may lie about everything, against any pixels."""
    width = rng.choice(counting.CLASS_COUNTS)
    n_labels, runs = rng.randrange(1, 20), rng.choice((0, 1, 2, 50, 700))
    longest = rng.choice((1, 3, 70, 65_535))
    lengths = np.array([rng.randint(0, longest) for _ in range(runs)], dtype="<u2")
    labels = np.frombuffer(_bytes_below(rng.choice((n_labels, 256)), runs, rng), dtype=np.uint8)
    values = rng.choice((width, 256))
    size = counting.BLOCK_PX * rng.choice((0, 1, 2, 31))
    at_start = rng.random() < 0.5
    record = Guarded(3 * runs, at_start=at_start)
    record.array[:] = np.frombuffer(lengths.tobytes() + labels.tobytes(), dtype=np.uint8)
    pixels = Guarded(size, at_start=at_start)
    pixels.array[:] = np.frombuffer(_bytes_below(values, size, rng), dtype=np.uint8)
    counts = Guarded(2 * n_labels * width, dtype=np.int64, at_start=at_start)
    functions[f"counting_{width}"](
        record.address, runs, pixels.address, size, counts.address, n_labels
    )
    plainly = counting.counter(n_classes=width, n_labels=n_labels)
    wanted = plainly(record.array.tobytes(), runs, pixels.array)
    if (counts.array.reshape(2, n_labels, width).sum(axis=0) != wanted).any():
        return f"counting_{width}: other counts than numpy's"
    return None


def _bytes_below(limit: int, size: int, rng: random.Random) -> bytes:
    return bytes(value % limit for value in rng.randbytes(size))


def fuzz_predictor(functions: Functions, rng: random.Random, report: Report) -> str | None:
    """Any rows of differences."""
    row, rows, before = rng.randrange(1, 300), rng.randrange(9), rng.choice((0, 3))
    size = row * rows
    pixels = Guarded(before + size, at_start=rng.random() < 0.5)
    pixels.array[:] = np.frombuffer(rng.randbytes(before + size), dtype=np.uint8)
    wanted = pixels.array.copy()
    strips.load().undo_predictor(wanted[before:], size, row)
    functions["predictor"](pixels.address, before, before + size, row)
    return None if (pixels.array == wanted).all() else "predictor: other pixels than numpy's"


KINDS: dict[str, Callable[[Functions, random.Random, Report], str | None]] = {
    "lzw": fuzz_lzw,
    "counting": fuzz_counting,
    "predictor": fuzz_predictor,
}


def run(functions: Functions, *, kinds: Sequence[str], cases: int, seed: int) -> Report:
    """`cases` of each kind."""
    report = Report()
    for name in kinds:
        fuzz = KINDS[name]
        for case in range(cases):
            if finding := fuzz(functions, random.Random(f"{name}/{seed}/{case}"), report):
                report.findings.append(f"{seed}/{case}: {finding}")
            report.cases[name] += 1
    return report


def main() -> int:
    """Fuzz all kernels; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="of each kernel")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=KINDS, help="one kernel")
    parser.add_argument("--checked", action="store_true")
    arguments = parser.parse_args()
    faulthandler.enable()
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        functions = checked(Path(folder)) if arguments.checked else committed()
        os.environ[choice.VARIABLE] = choice.PLAIN  # numpy is the reference
        kinds = [arguments.only] if arguments.only else list(KINDS)
        report = run(functions, kinds=kinds, cases=arguments.cases, seed=arguments.seed)
    seconds = round(time.monotonic() - started_s, 1)
    sys.stdout.write(json.dumps({**vars(report), "seconds": seconds}, indent=1) + "\n")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
