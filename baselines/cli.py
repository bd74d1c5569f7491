"""The command line: parsing only; every command imports what it needs when it runs.

Exit 0: done, one JSON object on stdout. Exit 1: refused, or a benchmark's claim does not hold, with
the reason on stderr. Exit 2: wrong usage. Exit 75: `train` was stopped before its end (a signal,
the time limit); the same command goes on. Longer than 400 lines: the parser of each command stands
beside the function that runs it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tomllib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from baselines.progress_line import ProgressLine
from baselines.train.stopping import EXIT_STOPPED, requested, seconds

_BENCHES = ("loader", "step", "learning")
_ALONE = "strong"  # takes long, and its claims are not shown yet: never part of all


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run; give the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], dict[str, Any]] = given.run
    try:
        result = run(given)
    except (ValueError, OSError, ModuleNotFoundError) as refusal:
        print(f"{parser.prog} {given.command}: {refusal}", file=sys.stderr)
        return int(getattr(refusal, "exit_code", 1))
    if given.command != "train" or _is_first_process():  # one of several processes speaks
        print(json.dumps(result))
    if given.command == "train" and result["state"] == "stopped":
        # Lightning takes any other code of a process beside the first for a crash.
        return EXIT_STOPPED if _is_first_process() else 0
    missed = given.missed(result) if hasattr(given, "missed") else []
    for claim in missed:
        print(f"{parser.prog} {given.command}: {claim} does not hold", file=sys.stderr)
    return 1 if missed else 0


def _positive(text: str) -> int:
    return _whole(text, least=1)


def _seconds(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(str(wrong)) from wrong


def _count(text: str) -> int:
    return _whole(text, least=0)


def _metres(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1000:
        raise argparse.ArgumentTypeError(f"found {text!r}; a number of metres below 1000 is needed")
    return value


def _devices(text: str) -> int | str:
    return text if text == "auto" else _whole(text, least=1)


def _whole(text: str, *, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(
            f"found {text!r}; a whole number from {least} on is needed"
        )
    return value


def _is_first_process() -> bool:
    from baselines.train import processes

    return processes.is_first()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m baselines",
        description="Make data, train, predict, package and submit the reference models.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_synth(commands)
    _add_files(commands)
    _add_pixel(commands)
    _add_recipes(commands)
    _add_train(commands)
    _add_predict(commands)
    _add_evaluate(commands)
    _add_folds(commands)
    _add_soup(commands)
    _add_map(commands)
    _add_export(commands)
    _add_package(commands)
    _add_submit(commands)
    _add_bench(commands)
    return parser


def _add_synth(commands: Any) -> None:
    synth = commands.add_parser("synth", help="write a synthetic data set in a published layout")
    synth.add_argument("out", type=Path, metavar="OUT", help="an empty folder")
    synth.add_argument("--seed", type=int, default=0)
    synth.add_argument("--layout", choices=("flair-1", "flair-2"), default="flair-2")
    synth.add_argument(
        "--patch-px", type=_positive, default=512, help="a patch's side (default 512)"
    )
    synth.add_argument("--train", type=_count, default=16, help="train patches (default 16)")
    synth.add_argument("--val", type=_count, default=8, help="validation patches (default 8)")
    synth.add_argument("--test", type=_count, default=16, help="test patches (default 16)")
    synth.add_argument(
        "--per-zone", type=_positive, default=4, help="patches of a zone (default 4)"
    )
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
    synth.add_argument("--workers", type=_positive, default=2)
    synth.set_defaults(run=_synth)


def _synth(given: argparse.Namespace) -> dict[str, Any]:
    from baselines.data import synth

    with ProgressLine() as line:
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
            on_progress=lambda done, total: line.update("patches made", done, total),
        )
    return summary.to_json()


def _add_files(commands: Any) -> None:
    files = commands.add_parser("files", help="list, check and unzip a challenge's public files")
    files.add_argument("challenge", help="flair-1, flair-2 or a challenge.toml")
    files.add_argument(
        "--folder", type=Path, metavar="DIR", help="where the copies lie: check them"
    )
    files.add_argument("--unzip", type=Path, metavar="OUT", help="a folder for their contents")
    files.add_argument("--digests", type=Path, metavar="FILE", help="lines of sha256sum")
    files.set_defaults(run=_files)


def _files(given: argparse.Namespace) -> dict[str, Any]:
    from baselines import public_files

    if given.unzip and not given.folder:
        raise ValueError("--unzip needs --folder, where the copies lie")
    with ProgressLine() as line:
        return public_files.run(
            given.challenge,
            folder=given.folder,
            out_dir=given.unzip,
            digests=given.digests,
            on_progress=lambda done, total: line.update("files unzipped", done, total),
        )


def _add_pixel(commands: Any) -> None:
    pixel = commands.add_parser("pixel", help="fit the pixel classifier, predict the test part")
    pixel.add_argument("root", type=Path, metavar="ROOT", help="a data set with labels to fit on")
    pixel.add_argument("--out", type=Path, required=True, help="the zip to write")
    pixel.add_argument(
        "--task", default="flair-2", metavar="TASK", help="a challenge's name or a task document"
    )
    pixel.add_argument("--seed", type=int, default=0)
    pixel.set_defaults(run=_pixel)


def _pixel(given: argparse.Namespace) -> dict[str, Any]:
    from baselines import pixel

    with ProgressLine() as line:
        return pixel.run(
            given.root, given.out, task=given.task, seed=given.seed,
            on_progress=lambda done, total: line.update("patches predicted", done, total),
        )  # fmt: skip


def _add_recipes(commands: Any) -> None:
    recipes = commands.add_parser("recipes", help="list the shipped recipes")
    recipes.set_defaults(run=_recipes)


def _recipes(_given: argparse.Namespace) -> dict[str, Any]:
    from baselines.train import recipe

    loaded = [recipe.load(name) for name in recipe.names()]
    return {
        recipe.name: {"title": recipe.title, "task": recipe.task_id, "miou": recipe.published.miou}
        for recipe in loaded
    }


def _add_train(commands: Any) -> None:
    train = commands.add_parser("train", help="train a recipe, or go on with a run")
    train.add_argument("recipe", help="a shipped recipe's name or a TOML file")
    train.add_argument("--data", type=Path, required=True, help="root of the data set")
    train.add_argument("--out", type=Path, required=True, help="the run's folder")
    train.add_argument("--seed", type=int, default=2022)
    train.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes",
        help="change a key of the recipe, as data.held_out=3 or training.epochs=20; repeatable",
    )  # fmt: skip
    train.add_argument("--cache", type=Path, help="where decoded patches are kept (default: --out)")
    train.add_argument("--no-resume", action="store_true", help="refuse a folder with a run in it")
    train.add_argument("--accelerator", default="auto", help="auto, cpu or gpu")
    train.add_argument(
        "--devices", type=_devices, default="auto", help="number of GPUs (default: all there are)"
    )
    train.add_argument("--threads", type=_positive, help="threads of the CPU (default: all cores)")
    train.add_argument(
        "--time-limit", type=_seconds, metavar="TIME",
        help="stop then with exit code 75, as after a signal: 90m, 3.5h, 1-12:00:00",
    )  # fmt: skip
    train.add_argument(
        "--weights-folder", type=Path, metavar="DIR",
        help="copies of pre-trained weights (default: FLAIR_WEIGHTS_FOLDER)",
    )  # fmt: skip
    train.add_argument(
        "--random-weights", action="store_true",
        help="start the encoder at random, whatever weights the recipe asks for",
    )  # fmt: skip
    train.add_argument(
        "--mlflow", type=Path, metavar="DIR",
        help="log to MLflow's file store there, too (default: FLAIR_MLFLOW_FOLDER)",
    )  # fmt: skip
    train.add_argument("--events", action="store_true", help="one JSON line an event on stderr")
    train.set_defaults(run=_train)


def _train(given: argparse.Namespace) -> dict[str, Any]:
    with requested(time_limit_s=given.time_limit) as stop, ProgressLine() as line:
        from baselines import train
        from baselines.networks import weights
        from baselines.train import mlflow_log
        from baselines.train import recipe as recipes

        _set_threads(given.threads)
        recipe = recipes.changed(recipes.load(given.recipe), dict(map(_change, given.changes)))
        if given.random_weights:
            recipe = recipes.at_random(recipe)
        result = train.run(
            recipe,
            data_root=given.data,
            out_dir=given.out,
            seed=given.seed,
            on_event=_print_event if given.events else partial(_tell_training, line=line),
            should_stop=stop,
            resume=not given.no_resume,
            cache_dir=given.cache,
            accelerator=given.accelerator,
            devices=given.devices,
            weights_folder=given.weights_folder or weights.folder_from_environment(),
            mlflow_folder=given.mlflow or mlflow_log.folder_from_environment(),
        )
    if result["state"] == "stopped":
        reason = stop.reason or "another process of the training"
        result["reason"] = reason
        if _is_first_process():
            print(
                f"stopped by {reason} after {result['epochs']} of {recipe.training.epochs} epochs; "
                "the same command goes on from here",
                file=sys.stderr,
                flush=True,
            )
    return result


def _change(text: str) -> tuple[str, Any]:
    """Read `data.held_out=3`; what is no TOML value is text."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: a form like data.held_out=3 is needed")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser("predict", help="predict a part of a data set with a run")
    predict.add_argument(
        "run_dirs", type=Path, nargs="+", metavar="RUN",
        help="a trained run's folder; several make an ensemble",
    )  # fmt: skip
    predict.add_argument(
        "--weights", type=float, nargs="+", metavar="W", help="a weight for each run (default: 1)"
    )
    predict.add_argument("--data", type=Path, required=True, help="root of the data set")
    predict.add_argument("--out", type=Path, required=True, help="folder of PRED_*.tif")
    predict.add_argument("--part", choices=("train", "test"), default="test")
    predict.add_argument(
        "--ids",
        metavar="CSV|TASK",
        help="patches of a CSV or of flair-2 … (default: all there are)",
    )
    predict.add_argument("--batch-size", type=_positive)
    predict.add_argument("--flips", action="store_true", help="mean over the square's symmetries")
    predict.add_argument(
        "--time-budget", type=_seconds, metavar="TIME",
        help="over as many symmetries (8, 4, 2, 1) as fit into that time: 90s, 30m",
    )  # fmt: skip
    predict.add_argument("--probabilities", action="store_true", help="PROB_*.tif as well")
    predict.add_argument(
        "--georeferenced", action="store_true", help="copy the images' georeference"
    )
    predict.add_argument("--device", default="auto")
    predict.add_argument(
        "--allow-unfinished", action="store_true", help="also of a training that did not end"
    )
    predict.add_argument(
        "--threads", type=_positive, help="threads of the CPU (default: all cores)"
    )
    predict.set_defaults(run=_predict)


def _predict(given: argparse.Namespace) -> dict[str, Any]:
    from baselines import predict

    _set_threads(given.threads)
    with ProgressLine() as line:
        return predict.run(
            given.run_dirs,
            data_root=given.data,
            out_dir=given.out,
            part=given.part,
            ids=_wanted(given.ids) if given.ids else None,
            batch_size=given.batch_size,
            weights=given.weights,
            flips=given.flips,
            time_budget_s=given.time_budget,
            probabilities=given.probabilities,
            georeferenced=given.georeferenced,
            device=given.device,
            allow_unfinished=given.allow_unfinished,
            on_event=lambda event: line.update("patches predicted", event["done"], event["total"]),
        )


def _wanted(source: str) -> list[str]:
    from baselines import package
    from scoring.engine.task import specification as specs

    if source.endswith(".csv"):
        return package.read_ids(Path(source))
    return [patch.id for patch in specs.load(source).expected]


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="measure a run on labelled patches")
    evaluate.add_argument("run_dir", type=Path, metavar="RUN", help="a trained run's folder")
    evaluate.add_argument("--data", type=Path, required=True, help="root of the data set")
    evaluate.add_argument("--out", type=Path, required=True, help="folder of the report")
    evaluate.add_argument("--part", choices=("validation", "train", "test"), default="validation")
    evaluate.add_argument("--worst", type=_count, default=8, help="patches to draw (default 8)")
    evaluate.add_argument("--batch-size", type=_positive)
    evaluate.add_argument("--device", default="auto")
    evaluate.add_argument(
        "--allow-unfinished", action="store_true", help="also of a training that did not end"
    )
    evaluate.set_defaults(run=_evaluate)


def _evaluate(given: argparse.Namespace) -> dict[str, Any]:
    from baselines import evaluate

    with ProgressLine() as line:
        return evaluate.run(
            given.run_dir,
            data_root=given.data,
            out_dir=given.out,
            part=given.part,
            worst=given.worst,
            batch_size=given.batch_size,
            device=given.device,
            allow_unfinished=given.allow_unfinished,
            on_event=lambda event: line.update("patches predicted", event["done"], event["total"]),
        )


def _add_folds(commands: Any) -> None:
    folds = commands.add_parser("folds", help="measure the folds of a recipe, each on its own part")
    folds.add_argument("run_dirs", type=Path, nargs="+", metavar="RUN", help="a fold's folder")
    folds.add_argument("--data", type=Path, required=True, help="root of the data set")
    folds.add_argument("--out", type=Path, required=True, help="folder of the report")
    folds.add_argument("--batch-size", type=_positive)
    folds.add_argument("--device", default="auto")
    folds.add_argument(
        "--allow-unfinished", action="store_true", help="also of trainings that did not end"
    )
    folds.set_defaults(run=_folds)


def _folds(given: argparse.Namespace) -> dict[str, Any]:
    from baselines import folds

    with ProgressLine() as line:
        return folds.run(
            given.run_dirs,
            data_root=given.data,
            out_dir=given.out,
            batch_size=given.batch_size,
            device=given.device,
            allow_unfinished=given.allow_unfinished,
            on_event=lambda event: line.update("patches predicted", event["done"], event["total"]),
        )


def _add_soup(commands: Any) -> None:
    soup = commands.add_parser("soup", help="average the weights of several runs of one network")
    soup.add_argument("run_dirs", type=Path, nargs="+", metavar="RUN", help="a run's folder")
    soup.add_argument("--data", type=Path, required=True, help="root of the data set")
    soup.add_argument("--out", type=Path, required=True, help="a new folder, as `export` makes it")
    soup.add_argument(
        "--weights", type=float, nargs="+", metavar="W", help="a weight for each run (default: 1)"
    )
    soup.add_argument(
        "--greedy", action="store_true", help="leave out runs that lower the validation mIoU"
    )
    soup.add_argument(
        "--norm-patches", type=_positive, default=256, metavar="N",
        help="train patches that batch normalisation is measured on (default 256)",
    )  # fmt: skip
    soup.add_argument("--batch-size", type=_positive)
    soup.add_argument("--device", default="auto")
    soup.add_argument(
        "--allow-unfinished", action="store_true", help="also of trainings that did not end"
    )
    soup.set_defaults(run=_soup)


def _soup(given: argparse.Namespace) -> dict[str, Any]:
    from baselines import soup

    with ProgressLine() as line:
        return soup.run(
            given.run_dirs,
            data_root=given.data,
            out_dir=given.out,
            weights=given.weights,
            greedy=given.greedy,
            norm_patches=given.norm_patches,
            batch_size=given.batch_size,
            device=given.device,
            allow_unfinished=given.allow_unfinished,
            on_event=lambda event: line.update("patches predicted", event["done"], event["total"]),
        )


def _add_map(commands: Any) -> None:
    area = commands.add_parser("map", help="map a large GeoTIFF with a run")
    area.add_argument("run_dir", type=Path, metavar="RUN", help="a trained run's folder")
    area.add_argument("image", type=Path, metavar="IMAGE", help="a GeoTIFF of the recipe's bands")
    area.add_argument("--out", type=Path, required=True, help="the map to write")
    area.add_argument("--overlap-px", type=_count, help="overlap of windows (default: a quarter)")
    area.add_argument("--batch-size", type=_positive, default=4)
    area.add_argument("--flips", action="store_true", help="mean over the square's symmetries")
    area.add_argument("--polygons", type=Path, metavar="GPKG", help="a GeoPackage as well")
    area.add_argument("--sieve-px", type=_count, default=0, help="merge smaller regions first")
    area.add_argument(
        "--simplify", type=_metres, default=0.0, metavar="METRES",
        help="smooth the polygons' borders by about so much, neighbours alike",
    )  # fmt: skip
    area.add_argument("--device", default="auto")
    area.add_argument(
        "--allow-unfinished", action="store_true", help="also of a training that did not end"
    )
    area.set_defaults(run=_map)


def _map(given: argparse.Namespace) -> dict[str, Any]:
    from baselines import area

    with ProgressLine() as line:
        return area.run(
            given.run_dir,
            image=given.image,
            out=given.out,
            overlap_px=given.overlap_px,
            batch_size=given.batch_size,
            flips=given.flips,
            polygons=given.polygons,
            sieve_px=given.sieve_px,
            simplify_m=given.simplify,
            device=given.device,
            allow_unfinished=given.allow_unfinished,
            on_event=partial(_tell_map, line=line),
        )


def _add_export(commands: Any) -> None:
    export = commands.add_parser("export", help="write a run as safetensors, ONNX and a model card")
    export.add_argument("run_dir", type=Path, metavar="RUN", help="a trained run's folder")
    export.add_argument("--out", type=Path, required=True, help="a new folder")
    export.add_argument(
        "--data", type=Path, help="a data set: ONNX is checked on a patch of it (default: drawn)"
    )
    export.add_argument("--evaluation", type=Path, metavar="JSON", help="a report of `evaluate`")
    export.add_argument(
        "--score", type=Path, metavar="JSON", help="a card of `flair download score`"
    )
    export.add_argument("--licence", help="of the weights, by the hub's name (etalab-2.0)")
    export.add_argument("--without-onnx", action="store_true", help="safetensors and card alone")
    export.add_argument(
        "--allow-unfinished", action="store_true", help="also of a training that did not end"
    )
    export.set_defaults(run=_export)


def _export(given: argparse.Namespace) -> dict[str, Any]:
    from baselines import export, model_card

    return export.run(
        given.run_dir,
        given.out,
        data_root=given.data,
        evaluation=given.evaluation,
        score=given.score,
        licence=given.licence or model_card.LICENCE,
        onnx=not given.without_onnx,
        allow_unfinished=given.allow_unfinished,
    )


def _add_package(commands: Any) -> None:
    package = commands.add_parser("package", help="pack predictions into a checked zip")
    package.add_argument("predictions", type=Path, metavar="FOLDER")
    package.add_argument("--out", type=Path, required=True, help="the zip to write")
    package.add_argument(
        "--spec", default="flair-2", help="task's name or document, TOML or JSON (flair-2)"
    )
    package.add_argument(
        "--ids", type=Path, help="CSV of the phase's patches (default: the task's)"
    )
    package.set_defaults(run=_package)


def _package(given: argparse.Namespace) -> dict[str, Any]:
    from baselines import package

    ids = package.read_ids(given.ids) if given.ids else None
    with ProgressLine() as line:
        return package.run(
            given.predictions, out=given.out, spec=given.spec, ids=ids,
            on_progress=lambda done, total: line.update("predictions packed", done, total),
        )  # fmt: skip


def _add_submit(commands: Any) -> None:
    submit = commands.add_parser("submit", help="submit a zip over HTTP; token in FLAIR_TOKEN")
    submit.add_argument("archive", type=Path, metavar="ZIP")
    submit.add_argument("--server", required=True, help="address of the site")
    submit.add_argument("--phase", required=True, help="as flair-2/test")
    submit.add_argument("--method-name", required=True)
    submit.add_argument("--wait-s", type=float, default=0.0, help="follow it so long")
    submit.set_defaults(run=_submit)


def _submit(given: argparse.Namespace) -> dict[str, Any]:
    from baselines import submit

    # Not an argument: arguments can be read by everyone on a machine.
    token = os.environ.get("FLAIR_TOKEN")
    if not token:
        raise ValueError("FLAIR_TOKEN is not set; make a token in your account and export it")
    return submit.run(
        given.archive,
        server=given.server,
        token=token,
        phase=given.phase,
        method_name=given.method_name,
        wait_s=given.wait_s,
        on_cut=_print_dropped,
    )


def _print_dropped(reason: str, pause_s: float) -> None:
    print(f"{reason}; next try in {pause_s:.0f} s", file=sys.stderr, flush=True)


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser(
        "bench", help="measure loading, training steps, learning or the strong recipes"
    )
    bench.add_argument("what", nargs="?", choices=("all", *_BENCHES, _ALONE), default="all")
    bench.add_argument("--quick", action="store_true", help="smaller and noisier")
    bench.add_argument("--threads", type=_positive, help="threads of the CPU (default: all cores)")
    bench.set_defaults(run=_bench, missed=_failed_claims)


def _bench(given: argparse.Namespace) -> dict[str, Any]:
    from importlib import import_module

    _set_threads(given.threads)
    return {
        name: import_module(f"baselines.bench.{name}").run(
            quick=given.quick, on_line=lambda line: print(line, file=sys.stderr, flush=True)
        )
        for name in (_BENCHES if given.what == "all" else (given.what,))
    }


def _failed_claims(results: dict[str, Any]) -> list[str]:
    """Name the claims of the benchmarks that their results don't support."""
    claims = [measured.get("claims", {}).items() for measured in results.values()]
    return [name for some in claims for name, holds in some if not holds]


def _set_threads(threads: int | None) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)


def _print_event(event: dict[str, Any]) -> None:
    print(json.dumps(event), file=sys.stderr, flush=True)


def _tell_training(event: dict[str, Any], *, line: ProgressLine) -> None:
    """Tell an event of a training to a person, who counts epochs from 1."""
    kind = event["event"]
    if kind == "caching":
        line.update(f"{event['part']} patches decoded", event["done"], event["total"])
    elif kind == "step":
        note = f" of epoch {event['epoch'] + 1}: loss {event['loss']:.4f}, rate {event['lr']:.2g}"
        line.update("steps", event["step"], event["steps"], note=note)
    elif kind == "validating":
        note = f" after epoch {event['epoch'] + 1}"
        line.update("patches validated", event["done"], event["total"], note=note)
    elif kind == "epoch":
        text = (
            f"epoch {event['epoch'] + 1}: loss {event['train_loss']:.4f}, validation "
            f"{event['val_loss']:.4f}, mIoU {event['val_miou']:.4f}, {event['seconds']:.0f} s"
        )
        line.say(text + (" (best)" if event["is_best"] else ""))
    elif kind == "note":
        line.say(event["message"])


def _tell_map(event: dict[str, Any], *, line: ProgressLine) -> None:
    if event["event"] == "mapped":
        line.update("windows mapped", event["done"], event["total"])
    elif event["event"] == "vectorised":
        line.update("polygons written", event["done"], None)
    else:
        line.say(event["message"])
