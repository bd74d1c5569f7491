"""The reference networks, built by name.

Inputs go by keyword: `aerial` [B, bands, H, W] in 0..1, `sentinel` [B, T, 10, 40, 40] reflectance,
`days` [B, T], `padding` [B, T] bool, `metadata` [B, 45]; each network looks at what it needs.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from baselines.data.choices import inputs_of
from baselines.networks.aerial import ARCHITECTURES, Aerial
from baselines.networks.output import Output
from baselines.networks.utae import Utae
from baselines.networks.utt import DEAD_PARAMETERS, Utt

__all__ = ["DEAD_PARAMETERS", "NAMES", "Output", "build", "count_parameters", "inputs_of"]

NAMES = (*ARCHITECTURES, "utae", "utt")
# What brings back the published code's behaviour, defects included, by network.
_PUBLISHED: dict[str, dict[str, Any]] = {
    **{name: {"metadata_spread": "rows"} for name in ARCHITECTURES},
    "utae": {"padded_statistics": True, "upsampling": "nearest"},
    "utt": {
        "padded_statistics": True,
        "first_sample_mean": True,
        "upsampling": "nearest",
        "metadata_spread": "rows",
    },
}


def build(name: str, *, published: bool = False, **options: Any) -> nn.Module:
    """Build one of `NAMES` with its own options (see the classes).

    `published` sets every switch to the behaviour of the published code, for comparison only.
    Raises ValueError naming what is allowed.
    """
    if name not in NAMES:
        raise ValueError(f"network {name!r}; allowed are {', '.join(NAMES)}")
    if published:
        options = {**_PUBLISHED[name], **options}
    try:
        if name == "utt":
            return Utt(**options)
        if name == "utae":
            return Utae(**options)
        return Aerial(name, **options)
    except TypeError as wrong:
        raise ValueError(f"options of {name}: {wrong}") from wrong


def count_parameters(module: nn.Module) -> int:
    """Count the values of all parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
