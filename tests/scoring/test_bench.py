"""The benchmark runs whole on a tiny task, and its figures are of the right kind."""

from __future__ import annotations

import json

import pytest

from scoring.engine import bench, bench_methods, synthetic
from scoring.engine import spec as specs
from tests.scoring import made


def test_it_measures_every_method() -> None:
    spec = made.task(height_px=64, width_px=64, prediction_pattern="PRED_(?P<id>[0-9]{6})")
    figures = json.loads(json.dumps(bench.run(patches=40, spec=spec, repeats=1)))
    assert set(figures["targets"]) == set(bench.TARGETS)
    for name, row in figures["methods"].items():
        assert row["seconds"] > 0, name
        assert row["patches"] == 40, name
    mious = [row["miou"] for row in figures["methods"].values() if "miou" in row]
    assert len(mious) >= 2
    assert mious == pytest.approx([mious[0]] * len(mious), rel=1e-12)  # the reference agrees
    assert 1e6 < 1e6 * figures["targets"]["peak memory, MB"] < 1e9
    text = bench.table(figures)
    for words in ("engine, one core, isolated", "peak memory", "where one patch's time goes"):
        assert words in text


def test_a_stretch_is_as_long_whenever_its_answers_come() -> None:
    """1 ms a patch, answered eight at a time; the machine was busy during the second stretch."""
    entered_s = [0.5 + (n - n % 8) / 1000 + (0.2 if n > 400 else 0) for n in range(900)]
    quiet, busy, *more = bench_methods._stretches(entered_s)
    assert quiet == pytest.approx(0.001, rel=0.01)
    assert busy > 0.0017
    assert more == [pytest.approx(0.001, rel=0.01)]
    assert bench_methods._stretches(entered_s[:200]) == []
    runs = [{"seconds": s, "cpu_s": s, "stretches_s": t} for s, t in
            ((1.0, [0.001, 0.002]), (0.9, [0.003, 0.001]))]  # fmt: skip
    few = [{"seconds": 0.1, "cpu_s": 0.1, "stretches_s": []}]
    found = bench._slope(runs, few, patches=500, beyond=400)
    assert found["ms_per_patch"] == pytest.approx(1.0)
    assert found["cpu_ms_per_patch"] == pytest.approx(2.0)
    assert (found["seconds"], found["fixed_s"]) == (0.9, pytest.approx(0.4))


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
    invented = synthetic.patches(made.task(), count=450)
    assert len({p.id for p in invented}) == 450
    assert len({(p.domain, p.zone) for p in invented}) == 18
    assert len({p.domain for p in invented}) == 3
