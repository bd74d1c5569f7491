"""Does each part help? The whole chain on the synthetic world, several seeds, small networks.

synth → train → predict → package → score by the scoring engine itself. Claims: U-T&T beats U-Net by
15 points and more, U-Net beats U-TAE; with the series shuffled between patches U-T&T falls to
U-Net's level or below; with augmentation that leaves the series where it was it loses visibly.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from baselines import package, predict
from baselines.data import batches, layout, synth
from baselines.data.samples import Batch, Files
from scoring.engine import child, store
from scoring.engine import spec as specs
from scoring.engine.verdicts import Scored

PATCH_PX = 64
NETWORKS = {
    "utt": ("tiny-utt", []),
    "unet": ("tiny-unet", []),
    "utae": ("tiny-utae", []),
    "utt_misaligned": ("tiny-utt", ["data.augmentation=aerial-only"]),
    "utt_without_collapsed": ("tiny-utt", ["network.options.collapsed=false"]),
}


def run(
    *, quick: bool = False, on_line: Callable[[str], None], folder: Path | None = None
) -> dict[str, Any]:
    """Train and score everything, as many trainings at once as there are cores; give the figures.

    `quick` takes one seed and the three networks only. `folder` keeps what was made.
    """
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        root = folder or Path(scratch)
        figures = _run(root, seeds=(1,) if quick else (1, 2, 3), quick=quick, on_line=on_line)
    figures["seconds"] = round(time.perf_counter() - begun)
    for name, value in figures.items():
        on_line(f"{name:<26} {value}")
    return figures


def _run(
    root: Path, *, seeds: Sequence[int], quick: bool, on_line: Callable[[str], None]
) -> dict[str, Any]:
    tree = root / "tree"
    on_line("making the synthetic world")
    synth.make(
        tree, patch_px=PATCH_PX, train=256, val=32, test=96, per_zone=4, dates=(12, 20),
        workers=os.cpu_count() or 1,
    )  # fmt: skip
    spec = small_spec(tree)
    truth = root / "truth.store"
    store.pack(tree / "flair_2_labels_test", truth, spec=spec)
    # The longest first, so that the last core isn't left with one of them alone.
    wanted = [("utt", seed) for seed in seeds]
    wanted += [] if quick else [("utt_misaligned", seed) for seed in seeds[:2]]
    wanted += [] if quick else [("utt_without_collapsed", seeds[0])]
    wanted += [(name, seed) for name in ("unet", "utae") for seed in seeds]

    def one(job: tuple[str, int]) -> float:
        name, seed = job
        run_dir = root / f"{name}-{seed}"
        recipe, changes = NETWORKS[name]
        _train(recipe, tree=tree, out=run_dir, cache=root / "cache", seed=seed, changes=changes)
        miou = score_run(run_dir, tree=tree, truth=truth, spec=spec)
        on_line(f"{name} seed {seed}: mIoU {miou:.4f}")
        return miou

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        scores = dict(zip(wanted, pool.map(one, wanted), strict=True))
    by_name = {
        name: [value for (kind, _), value in scores.items() if kind == name]
        for name in dict(wanted)
    }
    by_name["utt_shuffled"] = [
        shuffled_score(root / f"utt-{seed}", tree=tree, spec=spec) for seed in seeds
    ]
    figures: dict[str, Any] = {
        name: {"mean": statistics.fmean(values), "values": values}
        for name, values in by_name.items()
    }
    mean = {name: figures[name]["mean"] for name in figures}
    figures["claims"] = {
        "utt_beats_unet_by_15": mean["utt"] - mean["unet"] >= 0.15,
        "unet_beats_utae": mean["unet"] > mean["utae"],
        "order_holds_for_every_seed": all(
            a > b > c
            for a, b, c in zip(by_name["utt"], by_name["unet"], by_name["utae"], strict=True)
        ),
        "shuffled_falls_to_unet": mean["utt_shuffled"] <= mean["unet"],
    }
    if "utt_misaligned" in mean:
        figures["claims"]["misaligned_loses"] = mean["utt_misaligned"] < mean["utt"] - 0.02
    return figures


def small_spec(tree: Path) -> specs.TaskSpec:
    """Give FLAIR #2's task with the tree's patch size and test patches."""
    patches = layout.index(tree, part="test").patches
    return dataclasses.replace(
        specs.load("flair-2"),
        patch_height_px=PATCH_PX,
        patch_width_px=PATCH_PX,
        expected=tuple(specs.Patch(one.id, one.domain, one.zone) for one in patches),
    )


def _train(
    recipe: str, *, tree: Path, out: Path, cache: Path, seed: int, changes: Sequence[str]
) -> None:
    """Train in a process of its own, on one thread."""
    command = [
        sys.executable, "-m", "baselines", "train", recipe, "--data", str(tree), "--out", str(out),
        "--cache", str(cache), "--seed", str(seed), "--threads", "1",
    ]  # fmt: skip
    command += [part for change in changes for part in ("--set", change)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")


def score_run(run_dir: Path, *, tree: Path, truth: Path, spec: specs.TaskSpec) -> float:
    """Predict the test part, package it, score the package; give the mIoU."""
    predict.run(run_dir, data_root=tree, out_dir=run_dir / "preds", batch_size=16, device="cpu")
    archive = run_dir / "submission.zip"
    package.run(run_dir / "preds", out=archive, spec=spec)
    verdict = child.run(
        spec=spec, truth_path=truth, archive_path=archive, evidence_path=run_dir / "evidence",
        timeout_s=300, on_progress=lambda progress: None,
    )  # fmt: skip
    if not isinstance(verdict, Scored):
        raise RuntimeError(
            f"{run_dir.name}: {json.dumps(dataclasses.asdict(verdict), default=str)}"
        )
    (run_dir / "card.json").write_text(json.dumps(verdict.card))
    return float(verdict.card["miou"])


class _Shuffled(Files):
    """Patches with the satellite series of another one."""

    def gather(self, index: Sequence[int]) -> Batch:
        """Read patches; the series come from the patch half the list away."""
        own = super().gather(index)
        others = super().gather([(at + len(self) // 2) % len(self) for at in index])
        return dataclasses.replace(
            own, series=others.series, days=others.days, padding=others.padding
        )


def shuffled_score(run_dir: Path, *, tree: Path, spec: specs.TaskSpec) -> float:
    """Measure a run on the test part with the series shuffled between patches."""
    import torch

    from baselines.train import measure

    predictor = predict.Predictor(run_dir, device="cpu")
    patches = layout.index(tree, part="test").patches
    source = _Shuffled(patches, options=predictor.recipe.options())
    matrix = measure.Matrix(spec.n_classes, device=torch.device("cpu"))
    for batch in batches.Epoch(source, 16):
        target = batch["mask"].to(torch.int64)
        matrix.add(predictor.probabilities(batch), target)
    counts = matrix.counts
    assert int(counts.sum()) == int(np.prod((len(patches), PATCH_PX, PATCH_PX)))
    return measure.quality(counts, spec=spec).miou
