"""The benchmark runs whole on a tiny task, and its results are of the right kind."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from scoring.bench import bench, methods, processes
from scoring.engine import synthetic
from scoring.engine.task import specification as specs
from tests.scoring import builders


def test_it_measures_every_method() -> None:
    spec = builders.task(height_px=64, width_px=64, prediction_pattern="PRED_(?P<id>[0-9]{6})")
    results = json.loads(json.dumps(bench.run(patches=40, spec=spec, repeats=1)))
    assert set(results["targets"]) == set(bench.TARGETS)
    for name, row in results["methods"].items():
        assert row["seconds"] > 0, name
        assert row["patches"] == 40, name
    mious = [row["miou"] for row in results["methods"].values() if "miou" in row]
    assert len(mious) >= 2
    assert mious == pytest.approx([mious[0]] * len(mious), rel=1e-12)  # the reference agrees
    assert 1e6 < 1e6 * results["targets"]["peak memory, MB"] < 1e9
    text = bench.table(results)
    for words in ("engine, one core, isolated", "peak memory", "where one patch's time goes"):
        assert words in text


def test_memory_is_that_of_processes_started_since() -> None:
    """A server that the caller runs already (160 MB) is not part of a measurement."""
    code = "import sys; held = b'1' * (int(sys.argv[1]) * 10**6); print(flush=True); input()"
    with ExitStack() as stack:

        def start(megabytes: int) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-c", code, str(megabytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            stack.callback(process.communicate, b"\n")
            assert process.stdout is not None
            process.stdout.readline()
            return process

        start(160)
        with processes._Sampler() as sampler:
            start(40)
            for _ in range(300):
                if sampler.peak_bytes > 40e6:
                    break
                time.sleep(0.1)
        assert 40e6 < sampler.peak_bytes < 160e6


def test_a_stretch_is_as_long_whenever_its_replies_come() -> None:
    """1 ms a patch, replied eight at a time; the machine was busy during the second stretch."""
    recorded_s = [0.5 + (n - n % 8) / 1000 + (0.2 if n > 400 else 0) for n in range(900)]
    quiet, busy, *more = methods._stretches(recorded_s)
    assert quiet == pytest.approx(0.001, rel=0.01)
    assert busy > 0.0017
    assert more == [pytest.approx(0.001, rel=0.01)]
    assert methods._stretches(recorded_s[:200]) == []
    runs = [{"seconds": s, "cpu_s": s, "stretches_s": t} for s, t in
            ((1.0, [0.001, 0.002]), (0.9, [0.003, 0.001]))]  # fmt: skip
    few = [{"seconds": 0.1, "cpu_s": 0.1, "stretches_s": []}]
    slope = bench._slope(runs, few, patches=500, beyond=400)
    assert slope["ms_per_patch"] == pytest.approx(1.0)
    assert slope["cpu_ms_per_patch"] == pytest.approx(2.0)
    assert (slope["seconds"], slope["fixed_s"]) == (0.9, pytest.approx(0.4))


def test_too_few_patches_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 9"):
        bench.run(patches=8)


def test_made_patches_are_like_land_cover_and_always_the_same() -> None:
    spec = specs.load("flair-1")
    pairs = [synthetic.pair(spec, seed=i) for i in range(6)]
    again = synthetic.pair(spec, seed=3)
    assert (again.mask == pairs[3].mask).all()
    assert (again.prediction == pairs[3].prediction).all()
    right = [float((spec.label_table[p.mask] == p.prediction).mean()) for p in pairs]
    assert 0.6 < sum(right) / 6 < 0.95
    sizes = [len(bench._lzw(p.prediction)) for p in pairs]
    assert 15_000 < sum(sizes) / 6 < 25_000  # as the official sample
    perfect = synthetic.pair(spec, seed=0, noise=0)
    assert (spec.label_table[perfect.mask] == perfect.prediction).all()


def test_made_patches_have_real_ids_where_there_are_enough() -> None:
    spec = specs.load("flair-1")
    assert synthetic.patches(spec, count=3)[0].id == "061713"
    invented = synthetic.patches(builders.task(), count=450)
    assert len({p.id for p in invented}) == 450
    assert len({(p.domain, p.zone) for p in invented}) == 18
    assert len({p.domain for p in invented}) == 3


def test_a_process_that_ends_while_memory_is_sampled_has_no_descendants() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    assert processes._descendants(ended.pid) == []
    assert processes._pss_bytes(ended.pid) == 0
