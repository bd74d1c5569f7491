"""The tables of a recipe: network, data, loss, optimiser, training. Without torch."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, StrictBool, StrictFloat, StrictInt
from pydantic.dataclasses import dataclass

from baselines.data.choices import Moved, Normalisation, Symmetries
from baselines.data.metadata import Encoding
from baselines.data.samples import BANDS

# Unknown keys are mistakes; numbers and flags have exactly their type.
CONFIG = ConfigDict(extra="forbid")


def _lists_as_tuples(options: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(value) if isinstance(value, list) else value for k, value in options.items()}


@dataclass(frozen=True, config=CONFIG)
class Published:
    """What the papers report for this recipe: mean and deviation of five runs, mIoU 0..1."""

    challenge: Literal["flair-1", "flair-2"] | None = None
    miou: StrictFloat | None = None
    std: StrictFloat | None = None
    source: str = ""


@dataclass(frozen=True, config=CONFIG)
class Network:
    """Which network; `options` go to `networks.build`.

    `options.encoder_weights` is a name ("imagenet"), a file's path, or "random", as without it.
    """

    name: Literal[
        "unet", "unetplusplus", "fpn", "upernet", "segformer", "deeplabv3", "deeplabv3plus",
        "utae", "utt",
    ] = "unet"  # fmt: skip
    published: StrictBool = False
    options: Annotated[dict[str, Any], AfterValidator(_lists_as_tuples)] = field(
        default_factory=dict
    )


@dataclass(frozen=True, config=CONFIG)
class Data:
    """What the network sees: bands (1 R, 2 G, 3 B, 4 NIR, 5 height), FILT, AVG M, MTD, AUG.

    `symmetries` is how often AUG draws each: "uniform" (ours) or "coins" (the reference code's).
    `normalisation` "imagenet" takes ImageNet's mean and deviation of red, green and blue from
    bands 1 to 3, and of red and green from 4 and 5, as their first weights are copies of those.
    With `affine` a share of the patches is turned by up to ±30°, scaled by 0.8 to 1.25 and moved
    by up to a fifth of its side, series and labels with it; what comes in from outside counts
    nowhere.
    """

    bands: tuple[StrictInt, ...] = BANDS
    filter: StrictBool = False
    monthly: StrictBool = False
    metadata: StrictBool = False
    metadata_encoding: Encoding = "scaled"
    augmentation: Moved = "none"
    symmetries: Symmetries = "uniform"
    normalisation: Normalisation = "unit"
    affine: StrictFloat = 0.0
    crop_cells: StrictInt = 40
    split: Literal["official", "fold", "named"] = "official"
    folds: StrictInt = 5
    held_out: StrictInt = 0
    train_domains: tuple[str, ...] = ()
    val_domains: tuple[str, ...] = ()


@dataclass(frozen=True, config=CONFIG)
class Loss:
    """What is minimised: weighted cross-entropy, and `beside_factor` times a loss `beside` it.

    Pixels of the classes `unweighted` don't count in the aerial, those of `sentinel_unweighted` not
    in the satellite loss (cross-entropy, times `sentinel_factor`); where a recipe doesn't say,
    those are the classes that the task doesn't score. `class_weights` has a weight for each class
    of the task, none for ones; `label_smoothing` is the share given to all classes alike.
    """

    unweighted: tuple[StrictInt, ...] = ()
    sentinel_unweighted: tuple[StrictInt, ...] = ()
    sentinel_factor: StrictFloat = 1.0
    class_weights: tuple[StrictFloat, ...] = ()
    label_smoothing: StrictFloat = 0.0
    beside: Literal["none", "dice", "focal", "lovasz"] = "none"
    beside_factor: StrictFloat = 1.0


@dataclass(frozen=True, config=CONFIG)
class Optimiser:
    """How weights move.

    "plateau" halves the rate, as FLAIR #1 does; "none" keeps it, as FLAIR #2 does; "one-cycle" is
    for short runs; "cosine" rises over the share `warmup` of the run and falls to 0.
    `encoder_lr_factor` is the aerial encoder's part of the rate; without `decay_norms` only
    matrices and kernels decay.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    lr: StrictFloat = 0.02
    weight_decay: StrictFloat = 0.0
    momentum: StrictFloat = 0.0
    betas: tuple[StrictFloat, StrictFloat] = (0.9, 0.999)
    encoder_lr_factor: StrictFloat = 1.0
    decay_norms: StrictBool = True
    schedule: Literal["plateau", "one-cycle", "cosine", "none"] = "plateau"
    warmup: StrictFloat = 0.1
    plateau_factor: StrictFloat = 0.5
    plateau_patience: StrictInt = 10
    plateau_cooldown: StrictInt = 4
    lr_min: StrictFloat = 1e-7


@dataclass(frozen=True, config=CONFIG)
class Training:
    """Length, batches and precision. `global_batch_size` is reached by processes and steps.

    `monitor` decides early stopping and which epoch predicts. `ema` is the decay of a moving mean
    of the weights (less in the first steps), which is validated, kept and predicts; None: the
    weights themselves. `devices` is how many at most are used of those that a worker or a command
    gives; None: all. "fp16" scales the loss; "bf16" does so, too, on a GPU without bfloat16, and
    the run says it. `tf32` lets NVIDIA's cards round float32 in convolutions and products;
    `cudnn_benchmark` None: where every step has the same sizes.
    """

    epochs: StrictInt = 100
    patience: StrictInt = 30
    batch_size: StrictInt = 10
    global_batch_size: StrictInt | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    tf32: StrictBool = False
    cudnn_benchmark: StrictBool | None = None
    channels_last: StrictBool = True
    compiled: StrictBool = False
    clip_norm: StrictFloat | None = None
    monitor: Literal["val_loss", "val_miou"] = "val_loss"
    devices: StrictInt | None = None
    ema: StrictFloat | None = None
