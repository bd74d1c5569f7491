"""Whether the score engine uses its compiled kernels, or numpy and GDAL in their place."""

from __future__ import annotations

import os
from collections.abc import Mapping

VARIABLE = "SCORING_KERNELS"
COMPILED, PLAIN = "compiled", "plain"
ALLOWED = (COMPILED, PLAIN)


def use_compiled(environ: Mapping[str, str] | None = None) -> bool:
    """False where ``SCORING_KERNELS`` is ``plain``. The numbers are the same, only slower.

    Raises ValueError where it is neither that nor ``compiled``.
    """
    word = (os.environ if environ is None else environ).get(VARIABLE, "").strip() or COMPILED
    if word not in ALLOWED:
        raise ValueError(f"{VARIABLE} is {word!r}; allowed are {', '.join(ALLOWED)}")
    return word == COMPILED
