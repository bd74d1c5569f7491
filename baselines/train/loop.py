"""The run of a recipe from first start or last checkpoint to its end."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from baselines import dependencies
from baselines.data import layout
from baselines.networks.weights import Loaded
from baselines.train import arithmetic, facts, folder_lock, processes, state
from baselines.train import recipe as recipes
from baselines.train.events import Event
from baselines.train.mlflow_log import MlflowLog
from baselines.train.module import SegmentationModule, Stopped
from baselines.train.recipe import Recipe

_OTHER_DATA = (
    "the data are not those that this run began with (other patches, or files of other sizes): "
    "run.json keeps the digest of the first"
)


def run(
    recipe: Recipe | str | Path,
    *,
    data_root: Path,
    out_dir: Path,
    seed: int = 2022,
    on_event: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
    resume: bool = True,
    cache_dir: Path | None = None,
    accelerator: str = "auto",
    devices: int | str = "auto",
    weights_folder: Path | None = None,
    mlflow_folder: Path | None = None,
) -> dict[str, Any]:
    """Train; see `baselines.train.run`."""
    if not isinstance(recipe, Recipe):
        recipe = recipes.load(recipe)
    is_first = processes.is_first()
    if mlflow_folder is not None and is_first:
        log = MlflowLog(mlflow_folder, run_dir=out_dir, recipe=recipe, seed=seed)
        on_event = log.beside(on_event)
    index = layout.index(data_root, part="train", spec=recipe.spec)

    def train() -> dict[str, Any]:
        return _run(
            recipe,
            index=index,
            out_dir=out_dir,
            seed=seed,
            on_event=on_event if is_first else _ignore_event,
            should_stop=should_stop,
            resume=resume,
            cache_dir=cache_dir,
            accelerator=accelerator,
            devices=devices,
            weights_folder=weights_folder,
        )

    if not is_first:  # beside the first process, which holds the lock for all
        return train()
    with folder_lock.held(
        out_dir, on_note=lambda text: on_event({"event": "note", "message": text})
    ):
        return train()


def _run(
    recipe: Recipe,
    *,
    index: layout.Index,
    out_dir: Path,
    seed: int,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
    resume: bool,
    cache_dir: Path | None,
    accelerator: str,
    devices: int | str,
    weights_folder: Path | None,
) -> dict[str, Any]:
    begun = time.perf_counter()
    patches = recipe.split(index)
    resumed = state.look_into(out_dir, recipe=recipe, seed=seed)
    if processes.is_first() and not resume:
        state.require_new(out_dir)
    devices = processes.devices_here(_share_of(devices, recipe=recipe))
    device = arithmetic.device_of(accelerator)
    choice = arithmetic.choose(recipe, device=device)
    precision, precision_plugins = arithmetic.lightning_settings(choice, device=device)
    nodes = processes.nodes()
    _quieten()
    with warnings.catch_warnings(), arithmetic.kernels(recipe):
        _ignore_known_warnings()
        trainer = _trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy=_strategy(recipe, devices=devices, nodes=nodes),
            plugins=[*processes.plugins(), *precision_plugins],
            precision=precision,
            max_epochs=-1,
            gradient_clip_val=recipe.training.clip_norm,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            default_root_dir=out_dir,
        )
        for name, part in zip(("train", "validation"), patches, strict=True):
            if len(part) < trainer.world_size:
                raise ValueError(
                    f"{len(part)} {name} patches for {trainer.world_size} processes: each needs one"
                )
        accumulate = _accumulate(recipe, world=trainer.world_size)
        trainer.accumulate_grad_batches = accumulate
        module = SegmentationModule(
            recipe,
            spec=recipe.spec,
            folder=out_dir,
            seed=seed,
            patches=patches,
            cache_root=cache_dir or out_dir / "cache",
            accumulate=accumulate,
            resumed=resumed,
            weights_folder=weights_folder,
            on_event=on_event,
            should_stop=should_stop,
        )
        done = module.progress.epochs_done
        data_note = ""
        # Only now: a network that cannot be built, for want of weights, leaves no run behind.
        if processes.is_first():
            state.write_about(out_dir, recipe=recipe, seed=seed)
            if resumed is None:
                state.set_encoder_weights(out_dir, _encoder_weights(module.network))
            same_data = state.set_start(
                out_dir,
                data=facts.data(*patches),
                code=facts.code(),
                device=facts.device(trainer.strategy.root_device, processes=trainer.world_size),
                epochs_done=done,
            )
            data_note = "" if same_data else _OTHER_DATA
            state.set_ending(out_dir, "training")
        on_event(
            {
                "event": "start", "recipe": recipe.name, "seed": seed,
                "epochs": recipe.training.epochs, "epochs_done": done,
                "train_patches": len(patches[0]), "val_patches": len(patches[1]),
                "device": str(trainer.strategy.root_device), "processes": trainer.world_size,
                "accumulate": accumulate,
            }
        )  # fmt: skip
        notes = (*index.missing, choice.note, data_note)
        for note in notes:
            if note:
                on_event({"event": "note", "message": note})
        ended = "finished"
        exhausted = module.progress.epochs_without_gain >= recipe.training.patience
        if done < recipe.training.epochs and not exhausted:
            trainer.fit_loop.max_epochs = recipe.training.epochs - done
            try:
                trainer.fit(module)
            except Stopped:
                ended = "stopped"
    if processes.is_first():
        state.set_ending(out_dir, ended)
    result = {
        "state": ended,
        "epochs": module.progress.epochs_done,
        "best_epoch": module.progress.best_epoch + 1,
        "best_miou": module.progress.best_miou,
        "seconds": time.perf_counter() - begun,
    }
    on_event({"event": "end", **result})
    return result


def _trainer(**settings: Any) -> Any:
    """Make Lightning's trainer. Raises ValueError for devices that aren't there."""
    lightning = dependencies.lightning()
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    try:
        return lightning.Trainer(**settings)
    except MisconfigurationException as wrong:
        raise ValueError(
            f"accelerator {settings['accelerator']!r}, devices {settings['devices']!r}: {wrong}"
        ) from wrong


def _encoder_weights(network: Any) -> dict[str, str] | None:
    """Tell from which weights a network's encoder starts; None: at random."""
    loaded: Loaded | None = getattr(network, "weights", None)
    return None if loaded is None else loaded.to_json()


def _ignore_event(event: Event) -> None:
    pass


def _accumulate(recipe: Recipe, *, world: int) -> int:
    """Tell over how many batches gradients are summed to reach the global batch."""
    wanted = recipe.training.global_batch_size
    return 1 if wanted is None else max(1, round(wanted / (recipe.training.batch_size * world)))


def _share_of(devices: int | str, *, recipe: Recipe) -> int | str:
    """Give how many of the devices that there are the recipe takes."""
    limit = recipe.training.devices
    if limit is None:
        return devices
    offered = max(1, torch.cuda.device_count()) if devices == "auto" else int(devices)
    return min(limit, offered)


def _strategy(recipe: Recipe, *, devices: int | str, nodes: int) -> str:
    if nodes == 1 and _single(devices):
        return "auto"
    # The satellite head gets no gradient then; some encoders have layers that no decoder reads.
    is_part_idle = recipe.network.name == "utt" and recipe.loss.sentinel_factor == 0
    encoder = recipe.network.options.get("encoder", "resnet34")
    is_part_idle = is_part_idle or not encoder.startswith("resnet")
    return "ddp_find_unused_parameters_true" if is_part_idle else "ddp"


def _single(devices: int | str) -> bool:
    if devices == "auto":
        return not torch.cuda.is_available() or torch.cuda.device_count() == 1
    return devices in (1, "1")


def _quieten() -> None:
    """Lightning's greetings are not for our log."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _ignore_known_warnings() -> None:
    # Our batches come from a thread and mapped files; there is no worker process to add.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # The batch of an epoch that was stopped in its validation: all its steps are done.
    warnings.filterwarnings("ignore", message=".*training_step. returned .None.*")
    # Lightning with this torch.
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    # We keep the rate's state ourselves and step it with the epoch's own loss.
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
