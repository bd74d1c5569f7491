"""The command line: parsing only; every command imports what it needs when it runs.

Exit 0: done, one JSON object on stdout. Exit 1: refused, with the reason on stderr. Exit 2: wrong
usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run; give the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], dict[str, Any]] = given.run
    try:
        result = run(given)
    except (ValueError, FileNotFoundError, ModuleNotFoundError) as refusal:
        print(f"{parser.prog} {given.command}: {refusal}", file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m baselines",
        description="Make data, train, predict, package and submit the reference models.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_synth(commands)
    _add_pixel(commands)
    return parser


def _add_synth(commands: Any) -> None:
    synth = commands.add_parser("synth", help="write a synthetic data set in a published layout")
    synth.add_argument("out", type=Path, metavar="OUT", help="an empty folder")
    synth.add_argument("--seed", type=int, default=0)
    synth.add_argument("--layout", choices=("flair-1", "flair-2"), default="flair-2")
    synth.add_argument("--patch-px", type=int, default=512, help="a patch's side (default 512)")
    synth.add_argument("--train", type=int, default=16, help="train patches (default 16)")
    synth.add_argument("--val", type=int, default=8, help="validation patches (default 8)")
    synth.add_argument("--test", type=int, default=16, help="test patches (default 16)")
    synth.add_argument("--per-zone", type=int, default=4, help="patches of a zone (default 4)")
    synth.add_argument(
        "--dates", type=int, nargs=2, default=(20, 114), metavar=("LOW", "HIGH"),
        help="satellite dates of a zone (default 20 114)",
    )  # fmt: skip
    synth.add_argument("--aerial-only", action="store_true", help="no satellite series")
    synth.add_argument(
        "--ids-csv",
        type=Path,
        help="test patches from a CSV with columns domain, zone, patch",
    )
    synth.add_argument(
        "--leak",
        type=float,
        default=0.0,
        help="0..1: colour cue in the look-alike classes",
    )
    synth.add_argument("--workers", type=int, default=2)
    synth.set_defaults(run=_synth)


def _synth(given: argparse.Namespace) -> dict[str, Any]:
    from baselines.data import synth

    summary = synth.make(
        given.out,
        seed=given.seed,
        layout=given.layout,
        patch_px=given.patch_px,
        train=given.train,
        val=given.val,
        test=given.test,
        per_zone=given.per_zone,
        dates=(given.dates[0], given.dates[1]),
        aerial_only=given.aerial_only,
        test_patches=synth.read_ids_csv(given.ids_csv) if given.ids_csv else None,
        leak=given.leak,
        workers=given.workers,
    )
    return summary.to_json()


def _add_pixel(commands: Any) -> None:
    pixel = commands.add_parser("pixel", help="fit the pixel classifier, predict the test part")
    pixel.add_argument("root", type=Path, metavar="ROOT", help="a data set with labels to fit on")
    pixel.add_argument("--out", type=Path, required=True, help="the zip to write")
    pixel.add_argument("--seed", type=int, default=0)
    pixel.set_defaults(run=_pixel)


def _pixel(given: argparse.Namespace) -> dict[str, Any]:
    from baselines import pixel

    return pixel.run(given.root, given.out, seed=given.seed)
