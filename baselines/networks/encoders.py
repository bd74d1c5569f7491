"""Encoders of the aerial image by name: those of segmentation-models-pytorch, and timm's (`tu-`).

Each gives maps of strides 1, 2, 4, 8, 16 and 32. Encoders that begin at stride 4 (Swin, ConvNeXt,
MiT) have no channel at stride 2; plain vision transformers get their pyramid in `plain_vit`.
"""

from __future__ import annotations

import difflib
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from baselines import dependencies
from baselines.data.choices import RANDOM
from baselines.dependencies import segmentation_models
from baselines.networks import weights as weight_files
from baselines.networks.plain_vit import PlainVit
from baselines.networks.weights import HubFile, Loaded

TIMM = "tu-"
# What timm's own weights of an encoder are called here; its tag is part of the encoder's name.
TIMM_WEIGHTS = "imagenet"


def build(
    name: str,
    *,
    bands: int,
    depth: int = 5,
    weights: str | None = None,
    folder: Path | None = None,
    patch_px: int | None = None,
    options: dict[str, Any] | None = None,
) -> tuple[nn.Module, Loaded | None]:
    """Build an encoder; give the weights that it starts from as well, None at random.

    `weights` is None or "random", a name, or a file's path; `folder` holds copies of named ones.
    Of weights for three channels those of further bands are copies, scaled to the same sum.
    `patch_px` is needed by encoders of one image size (Swin, MaxViT, ViT); `options` go to timm.
    Raises ValueError for a name that is not known, with the nearest, and what
    `baselines.networks.weights.load` raises.
    """
    _require_known(name)
    wanted = None if weights in (None, RANDOM) else str(weights)
    loaded = None
    if wanted is not None:
        hub = None if weight_files.is_file_name(wanted) else _hub_file(name, weights=wanted)
        loaded = weight_files.load(name, name=wanted, hub=hub, folder=folder)
    if name.startswith(TIMM):
        encoder = _of_timm(
            name, bands=bands, depth=depth, loaded=loaded, patch_px=patch_px, options=options or {}
        )
        return encoder, loaded
    if options:
        raise ValueError(f"encoder {name} takes no encoder_options; timm's ({TIMM}…) do")
    return _of_smp(name, bands=bands, depth=depth, loaded=loaded), loaded


def _require_known(name: str) -> None:
    timm = dependencies.timm()
    own = segmentation_models().encoders.get_encoder_names()
    if name in own:
        return
    if name.startswith(TIMM) and timm.is_model(name.removeprefix(TIMM).partition(".")[0]):
        return
    of_timm = [TIMM + model for model in timm.list_models()]
    plain = TIMM + name.removeprefix(TIMM).partition(".")[0]
    nearest = difflib.get_close_matches(name, own, n=3, cutoff=0.5)
    nearest += difflib.get_close_matches(plain, of_timm, n=3, cutoff=0.5)
    raise ValueError(
        f"encoder {name!r} is not known; "
        + (f"the nearest are {', '.join(nearest)}" if nearest else "no name is near")
        + f". Allowed are segmentation-models-pytorch's names, and timm's behind {TIMM!r}"
    )


def _hub_file(name: str, *, weights: str) -> HubFile:
    """Tell where named weights lie. Raises ValueError naming those that there are."""
    if name.startswith(TIMM):
        about = dependencies.timm().models.get_pretrained_cfg(name.removeprefix(TIMM))
        allowed = (TIMM_WEIGHTS,) if about is not None and about.hf_hub_id else ()
        if weights in allowed:
            return HubFile(about.hf_hub_id, name=about.hf_hub_filename or HubFile.name)
    else:
        settings = segmentation_models().encoders.encoders[name]["pretrained_settings"]
        allowed = tuple(settings)
        if weights in allowed:
            return HubFile(settings[weights]["repo_id"], settings[weights]["revision"])
    raise ValueError(
        f"weights {weights!r} of encoder {name}; allowed are "
        f"{', '.join((*allowed, RANDOM))} or a file's path"
    )


def _of_smp(name: str, *, bands: int, depth: int, loaded: Loaded | None) -> nn.Module:
    get = segmentation_models().encoders.get_encoder
    if loaded is None:
        encoder: nn.Module = get(name, in_channels=bands, depth=depth, weights=None)
        return encoder
    encoder = get(name, in_channels=3, depth=depth, weights=None)
    try:
        encoder.load_state_dict(dict(loaded.tensors))
    except (RuntimeError, KeyError) as wrong:
        raise _other_encoder(loaded) from wrong
    encoder.set_in_channels(bands, pretrained=True)  # type: ignore[operator]
    return encoder


def _of_timm(
    name: str,
    *,
    bands: int,
    depth: int,
    loaded: Loaded | None,
    patch_px: int | None,
    options: dict[str, Any],
) -> nn.Module:
    model = name.removeprefix(TIMM)
    settings = dict(options)
    if patch_px is not None and _takes_image_size(model):
        settings["img_size"] = patch_px
    if loaded is not None:  # timm adapts them to bands and image size itself
        settings["pretrained_cfg_overlay"] = {"state_dict": dict(loaded.tensors)}
    is_plain = len(set(_reductions(model))) == 1
    try:
        if is_plain:
            encoder: nn.Module = PlainVit(
                model, bands=bands, pretrained=loaded is not None, **settings
            )
        else:
            encoder = segmentation_models().encoders.TimmUniversalEncoder(
                model, in_channels=bands, depth=depth, pretrained=loaded is not None, **settings
            )
    except (RuntimeError, KeyError) as wrong:
        if loaded is None:
            raise
        raise _other_encoder(loaded) from wrong
    if loaded is not None and _share_taken(encoder, loaded) < 0.5:
        raise _other_encoder(loaded)
    return encoder


def _other_encoder(loaded: Loaded) -> ValueError:
    return ValueError(f"{loaded.file} holds the weights of another encoder than {loaded.encoder}")


def _share_taken(encoder: nn.Module, loaded: Loaded) -> float:
    """Tell which share of the encoder's tensors stand in the file: timm loads what fits, silently.

    Tensors are compared by size and sum, as timm names and shapes some of them anew.
    """
    there = {_print_of(tensor) for tensor in loaded.tensors.values()}
    own = [_print_of(parameter.detach()) for parameter in encoder.parameters()]
    return sum(one in there for one in own) / max(len(own), 1)


def _print_of(tensor: torch.Tensor) -> tuple[int, float]:
    return tensor.numel(), float(tensor.double().abs().sum())


@cache
def _takes_image_size(model: str) -> bool:
    """Tell whether a model of timm is made for one image size."""
    timm = dependencies.timm()
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            timm.create_model(model, img_size=64)
    except TypeError:
        return False
    except (AssertionError, RuntimeError, ValueError):  # of one, but not of this
        return True
    return True


@cache
def _reductions(model: str) -> tuple[int, ...]:
    """Give the strides of a model's maps."""
    timm = dependencies.timm()
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(timm.create_model(model, features_only=True).feature_info.reduction())
