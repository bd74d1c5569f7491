"""Names of encoders, known without the libraries that build them: a web process has none.

`python -m baselines.train.encoder_names` writes the list anew from the installed libraries; a
worker with others still tells itself what it does not know.
"""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import Any

from baselines.train.recipe_errors import RecipeError

LIST = Path(__file__).with_name("encoder_names.txt")
TIMM = "tu-"
_WITH_ENCODER = frozenset(
    ("unet", "unetplusplus", "fpn", "upernet", "segformer", "deeplabv3", "deeplabv3plus", "utt")
)


@cache
def known() -> frozenset[str]:
    """Give the names: those of segmentation-models-pytorch, and timm's behind `tu-`."""
    return frozenset(LIST.read_text().split())


def require_known(recipe: Any) -> None:
    """Raise RecipeError, with the nearest names, for an encoder that is none of the list's.

    A tag of timm's weights (`.in1k`) isn't looked at.
    """
    name = recipe.network.options.get("encoder")
    if name is None or recipe.network.name not in _WITH_ENCODER:
        return
    if not isinstance(name, str):
        raise RecipeError("encoder-no-text", found=repr(name))
    plain = name.partition(".")[0] if name.startswith(TIMM) else name
    if plain in known():
        return
    nearest = nearest_to(plain)
    if not nearest:
        raise RecipeError("encoder-unlike-any", found=repr(name))
    raise RecipeError("encoder-unknown", found=repr(name), nearest=", ".join(nearest))


def nearest_to(name: str) -> list[str]:
    """Give a few names that are spelt alike, of both libraries."""
    own = sorted(one for one in known() if not one.startswith(TIMM))
    of_timm = sorted(one for one in known() if one.startswith(TIMM))
    behind = TIMM + name.removeprefix(TIMM)
    return [
        *difflib.get_close_matches(name, own, n=3, cutoff=0.5),
        *difflib.get_close_matches(behind, of_timm, n=3, cutoff=0.6),
    ]


def installed() -> list[str]:
    """Give the names that the installed libraries know, sorted."""
    from baselines import dependencies

    own = dependencies.segmentation_models().encoders.get_encoder_names()
    return sorted([*own, *(TIMM + name for name in dependencies.timm().list_models())])


if __name__ == "__main__":
    LIST.write_text("\n".join(installed()) + "\n")
