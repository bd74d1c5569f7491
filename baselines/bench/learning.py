"""Does each part help? The whole chain on the synthetic world, several seeds, small networks.

synth → train → predict → package → submit over HTTP → score by a worker → read the leaderboard of a
site that runs beside. Every training is a team of its own there. Claims: U-T&T beats U-Net by 15
points and more, U-Net beats U-TAE; with the series shuffled between patches U-T&T falls to U-Net's
level or below; with augmentation that leaves the series where it was it loses visibly; and what
only the surroundings decide is lost without the collapsed branch, where the cropped one cannot see
them.
"""

from __future__ import annotations

import dataclasses
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

from baselines import package, predict
from baselines.bench import site as sites
from baselines.bench.site import Site
from baselines.data import layout, synth
from scoring.engine.task import specification as specs

PATCH_PX = 64
SEEDS = (1, 2, 3)
# L-TAE on every cell, no coarser level, no statistics of whole frames: what lies more than two
# cells outside the image is out of the cropped branch's sight; the collapsed one alone sees it.
_NEAR = [
    "network.options.widths=[16]", "network.options.heads=4",
    "network.options.encoder_norm=batch",
]  # fmt: skip
NETWORKS: dict[str, tuple[str, list[str]]] = {
    "utt": ("tiny-utt", []),
    "unet": ("tiny-unet", []),
    "utae": ("tiny-utae", []),
    "utt_misaligned": ("tiny-utt", ["data.augmentation=aerial-only"]),
    "near_utt": ("tiny-utt", _NEAR),
    "near_utt_without_collapsed": ("tiny-utt", [*_NEAR, "network.options.collapsed=false"]),
}
SHUFFLED = "utt_shuffled"
# Decided by the surroundings alone (`baselines.data.world`).
BY_SURROUNDINGS = ("pervious_surface", "bare_soil")


@dataclasses.dataclass(frozen=True)
class Row:
    """A training's line of the leaderboard."""

    miou: float
    ious: dict[str, float | None]

    @property
    def by_surroundings(self) -> float:
        """Give the mean IoU of the classes that the surroundings decide."""
        return statistics.fmean(self.ious[key] or 0.0 for key in BY_SURROUNDINGS)


def run(
    *, quick: bool = False, on_line: Callable[[str], None], folder: Path | None = None
) -> dict[str, Any]:
    """Train and score everything, as many trainings at once as there are cores; give the results.

    `quick` takes one seed and the three networks only. `folder` keeps what was made.
    """
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        rows = _run(folder or Path(scratch), quick=quick, on_line=on_line)
    results = summarise(rows)
    results["seconds"] = round(time.perf_counter() - begun)
    for name, value in results.items():
        on_line(f"{name:<28} {value}")
    return results


def _run(root: Path, *, quick: bool, on_line: Callable[[str], None]) -> dict[tuple[str, int], Row]:
    seeds = SEEDS[:1] if quick else SEEDS
    # The longest first, so that the last core isn't left with one of them alone.
    wanted = [("utt", seed) for seed in seeds]
    ablations = ("utt_misaligned", "near_utt", "near_utt_without_collapsed")
    wanted += [] if quick else [(name, seeds[0]) for name in ablations]
    wanted += [(name, seed) for name in ("unet", "utae") for seed in seeds]
    shuffled = [(SHUFFLED, seed) for seed in seeds]

    on_line("making the synthetic world")
    tree = root / "tree"
    synth.make(
        tree, patch_px=PATCH_PX, train=256, val=32, test=96, per_zone=4, dates=(12, 20),
        workers=os.cpu_count() or 1,
    )  # fmt: skip
    shuffle_series(tree, out=root / "shuffled")
    spec = small_spec(tree)
    challenge = sites.write_challenge(root / "learning-bench", spec=spec)
    teams = [_team(*job) for job in (*wanted, *shuffled)]
    on_line("starting the site")
    with (
        sites.serve(
            root / "site", challenge=challenge, labels=tree / "flair_2_labels_test", teams=teams
        ) as site,
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
    ):

        def train_and_score(job: tuple[str, int]) -> None:
            name, seed = job
            run_dir = root / _team(name, seed)
            recipe, changes = NETWORKS[name]
            begun = time.perf_counter()
            _train(recipe, tree=tree, out=run_dir, cache=root / "cache", seed=seed, changes=changes)
            submit_run(run_dir, site=site, tree=tree, spec=spec, team=_team(name, seed))
            if name == "utt":
                team = _team(SHUFFLED, seed)
                submit_run(run_dir, site=site, tree=root / "shuffled", spec=spec, team=team)
            on_line(
                f"{name}, seed {seed}: trained and scored in {time.perf_counter() - begun:.0f} s"
            )

        list(pool.map(train_and_score, wanted))
        board = {row["team"]: row for row in site.leaderboard()}
    for team, row in board.items():
        on_line(f"{row['rank']:>3}  {team:<30} {row['miou']:.4f}")
    return {
        job: Row(miou=board[_team(*job)]["miou"], ious=board[_team(*job)]["class_ious"])
        for job in (*wanted, *shuffled)
    }


def summarise(rows: dict[tuple[str, int], Row]) -> dict[str, Any]:
    """Give mean and values of each network, and which claims hold."""
    of: dict[str, dict[int, Row]] = {}
    for (name, seed), row in rows.items():
        of.setdefault(name, {})[seed] = row
    results: dict[str, Any] = {
        name: {
            "mean": round(statistics.fmean(row.miou for row in by_seed.values()), 4),
            "values": [row.miou for row in by_seed.values()],
            "by_surroundings": [round(row.by_surroundings, 4) for row in by_seed.values()],
        }
        for name, by_seed in of.items()
    }
    mean = {name: statistics.fmean(row.miou for row in rows.values()) for name, rows in of.items()}
    results["claims"] = claims = {
        "utt_beats_unet_by_15": mean["utt"] - mean["unet"] >= 0.15,
        "utt_beats_unet_by_15_for_every_seed": all(
            of["utt"][seed].miou - of["unet"][seed].miou >= 0.15 for seed in of["utt"]
        ),
        "unet_beats_utae_for_every_seed": all(
            of["unet"][seed].miou > of["utae"][seed].miou for seed in of["unet"]
        ),
        "shuffled_falls_to_unet": mean[SHUFFLED] <= mean["unet"],
    }
    if "utt_misaligned" in of:
        claims["misaligned_loses_for_every_seed"] = all(
            row.miou < of["utt"][seed].miou - 0.02 for seed, row in of["utt_misaligned"].items()
        )
    if "near_utt" in of:
        claims["surroundings_need_the_collapsed_branch"] = all(
            of["near_utt_without_collapsed"][seed].by_surroundings < row.by_surroundings - 0.15
            for seed, row in of["near_utt"].items()
        )
    return results


def small_spec(tree: Path) -> specs.TaskSpec:
    """Give FLAIR #2's task with the tree's patch size and test patches."""
    patches = layout.index(tree, part="test").patches
    return dataclasses.replace(
        specs.load("flair-2"),
        patch_height_px=PATCH_PX,
        patch_width_px=PATCH_PX,
        expected=tuple(specs.Patch(patch.id, patch.domain, patch.zone) for patch in patches),
    )


def shuffle_series(tree: Path, *, out: Path) -> None:
    """Link a tree's test images in `out`, the series of each zone those of another.

    Zones must hold equally many patches: each patch gets the series around the patch of its
    position in the zone half the list away.
    """
    images = sorted((tree / "flair_2_aerial_test").rglob("IMG_*.tif"))
    files = [(path, path.relative_to(tree)) for path in images]
    files += [(path, path.relative_to(tree)) for path in tree.glob("*.json")]
    series = tree / "flair_2_sen_test"
    zones = sorted(path.relative_to(series) for path in series.glob("D*/Z*"))
    for index, zone in enumerate(zones):
        other = zones[(index + len(zones) // 2) % len(zones)]
        for path in (series / other).rglob("SEN2_*"):
            kind = path.name.rpartition("_")[2]
            name = f"SEN2_sp_{zone.parent}-{zone.name}_{kind}"
            files.append((path, (series / zone / "sen" / name).relative_to(tree)))
    for path, target in files:
        (out / target).parent.mkdir(parents=True, exist_ok=True)
        (out / target).symlink_to(path.resolve())


def submit_run(run_dir: Path, *, site: Site, tree: Path, spec: specs.TaskSpec, team: str) -> None:
    """Predict a tree's test part with a run, package it, submit it and wait for its score."""
    folder = run_dir / f"predictions-{team}"
    predict.run(run_dir, data_root=tree, out_dir=folder, batch_size=16, device="cpu")
    archive = run_dir / f"{team}.zip"
    package.run(folder, out=archive, spec=spec)
    site.submit(archive, team=team, method=f"{run_dir.name} on {tree.name}")


def _team(name: str, seed: int) -> str:
    return f"{name.replace('_', '-')}-{seed}"


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
