"""A short run of the fuzzer on every test run; `python -m tests.scoring.fuzz` is the long one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.scoring import fuzz

BOUND_S = 20.0  # whatever else the machine does; `make fuzz` holds the figure, fuzz.LIMIT_S
ROOT = Path(__file__).resolve().parents[2]


def test_altered_archives_are_refused_or_harmless() -> None:
    report = fuzz.Report()
    fuzz.fuzz_archives(report, cases=300, seed=7)
    assert report.findings == []
    assert report.cases == 300
    assert 0 < report.accepted < 150
    assert report.slowest_s < BOUND_S


def test_the_fuzzer_finds_what_it_looks_for() -> None:
    """An engine that ignores checksums is caught within a few hundred cases."""
    script = """
import sys
from isal import isal_zlib
from scoring.engine.decode import decoder
from tests.scoring import fuzz
class Careless:
    error, decompressobj = isal_zlib.error, isal_zlib.decompressobj
    def crc32(self, data): return type("Any", (), {"__ne__": lambda a, b: False})()
decoder.isal_zlib = Careless()
report = fuzz.Report()
fuzz.fuzz_archives(report, cases=600, seed=7)
sys.exit(3 if report.findings else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=300, check=False)
    assert done.returncode == 3


def test_altered_rasters_are_refused_or_read_as_gdal_does() -> None:
    """In a process of its own, since decoders are forked."""
    script = """
import sys
from tests.scoring import fuzz
report = fuzz.Report()
fuzz.fuzz_rasters(report, cases=250, seed=7)
print(report.findings, report.cases, report.accepted)
sys.exit(3 if report.findings or report.cases != 250 or not report.accepted else 0)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=ROOT, timeout=300, check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
