"""A network outside its run: a folder as the Hugging Face hub has them, written and read.

`model.safetensors` holds the weights, `config.json` the recipe, the classes and the digest of the
weights, `preprocessor_config.json` how pixels become inputs. Nothing in the folder is code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baselines.data.batches import IMAGENET_MEAN, IMAGENET_STD
from baselines.data.sentinel import REFLECTANCE_SCALE
from baselines.train import recipe as recipes
from baselines.train.recipe import Recipe
from scoring.engine.task.specification import TaskSpec

CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"
MODEL_TYPE = "flair-baselines"
FORMAT = 1


def digest_of(tensors: dict[str, Tensor]) -> str:
    """Give the SHA-256 of weights: names, dtypes, shapes and values, in any memory layout."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(_plain(tensor).numpy().tobytes())
    return digest.hexdigest()


def write(
    folder: Path,
    recipe: Recipe,
    tensors: dict[str, Tensor],
    *,
    patch_px: int,
    spec: TaskSpec,
    made_from: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Write the three files; give the content of config.json.

    The encoder's starting weights are left out of the recipe there: its own are in the folder.
    `made_from` tells of each run whose weights were averaged its share and their digest.
    """
    from safetensors.torch import save_file

    if recipe.network.options.get("encoder_weights") is not None:
        recipe = recipes.at_random(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: _plain(tensor) for name, tensor in tensors.items()}
    save_file(plain, folder / WEIGHTS, metadata={"format": "pt"})
    config = {
        "model_type": MODEL_TYPE,
        "format": FORMAT,
        "architectures": [recipe.network.name],
        "id2label": {str(entry.id): entry.key for entry in spec.classes},
        "label2id": {entry.key: entry.id for entry in spec.classes},
        "image_size": patch_px,
        "num_channels": len(recipe.data.bands) if "aerial" in recipe.inputs else 0,
        "torch_dtype": "float32",
        "inputs": [name for name in recipe.inputs if name != "padding"],
        "recipe": recipe.to_json(),
        "weights_sha256": digest_of(tensors),
        "made_from": list(made_from),
    }
    _write_json(folder / CONFIG, config)
    _write_json(folder / PREPROCESSOR, preprocessor(recipe, patch_px=patch_px))
    return config


def preprocessor(recipe: Recipe, *, patch_px: int) -> dict[str, Any]:
    """Tell how files become the network's inputs."""
    data = recipe.data
    about: dict[str, Any] = {"do_resize": False, "size": {"height": patch_px, "width": patch_px}}
    if "aerial" in recipe.inputs:
        is_normalised = data.normalisation == "imagenet"
        about |= {
            "bands": list(data.bands),
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": is_normalised,
        }
        if is_normalised:
            known = [(band - 1) % 3 for band in data.bands]
            about["image_mean"] = [IMAGENET_MEAN[at] for at in known]
            about["image_std"] = [IMAGENET_STD[at] for at in known]
    if "sentinel" in recipe.inputs:
        about["series"] = {
            "cells": data.crop_cells,
            "rescale_factor": 1 / REFLECTANCE_SCALE,
            "filter_snow_and_cloud": data.filter,
            "monthly_means": data.monthly,
            "days": "days from the acquisition to 15 May, the year left aside",
        }
    if "metadata" in recipe.inputs:
        about["metadata"] = {"encoding": data.metadata_encoding, "values": 45}
    return about


def is_export(folder: Path) -> bool:
    """Tell whether a folder was written by `write` and is not a run's."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def read(folder: Path) -> tuple[Recipe, dict[str, Any]]:
    """Give recipe and state of an export, as `state.load_best` gives them of a run.

    Raises ValueError for a folder of another kind or format, or one whose weights are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / CONFIG
    try:
        config = json.loads(path.read_text())
    except ValueError as wrong:
        raise ValueError(f"{path} is damaged ({wrong}); export the run again") from wrong
    found = (config.get("model_type"), config.get("format")) if isinstance(config, dict) else None
    if found != (MODEL_TYPE, FORMAT):
        raise ValueError(
            f"{path}: found model_type and format {found}; {(MODEL_TYPE, FORMAT)} is needed, as "
            "`python -m baselines export` writes it"
        )
    try:
        tensors = load_file(folder / WEIGHTS)
    except SafetensorError as wrong:
        raise ValueError(
            f"{folder / WEIGHTS} is damaged ({wrong}); export the run again"
        ) from wrong
    if digest_of(tensors) != config["weights_sha256"]:
        raise ValueError(
            f"{folder / WEIGHTS} holds other weights than {CONFIG} says (weights_sha256); export "
            "the run again"
        )
    recipe = recipes.parse(config["recipe"])
    return recipe, {"network": tensors, "patch_px": int(config["image_size"])}


def _plain(tensor: Tensor) -> Tensor:
    """Give a tensor of its own on the CPU, in the order of its axes."""
    return tensor.detach().to("cpu").contiguous(memory_format=torch.contiguous_format).clone()


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
