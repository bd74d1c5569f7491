"""Words that recipes choose from, and what they mean for the data; without torch."""

from __future__ import annotations

from typing import Literal

Moved = Literal["none", "together", "aerial-only"]
Symmetries = Literal["uniform", "coins"]
Normalisation = Literal["unit", "imagenet"]
RANDOM = "random"  # of an encoder's weights


def inputs_of(name: str, *, metadata: bool = False) -> tuple[str, ...]:
    """Tell which inputs a network looks at."""
    series = ("sentinel", "days", "padding")
    base = {"utae": series, "utt": ("aerial", *series)}.get(name, ("aerial",))
    return (*base, "metadata") if metadata else base
