"""The picture at the side of a challenge's first page: its own, or one made of its classes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from challenge.models import Challenge
from challenge.selectors import pages

SIDE = 8  # squares in a row of the picture that is made of the classes' colours


@dataclass(frozen=True)
class Hero:
    """An aerial patch and its labels, files below ``static/img``, in words too."""

    image: str
    labels: str
    alt: Any
    labels_alt: Any


# Patches of IGN's FLAIR data, Etalab Open Licence 2.0 (the page of credits says so).
HEROES = {
    "flair-1": Hero(
        "img/patch-000473.webp",
        "img/labels-000473.png",
        _("Aerial image: a dark conifer wood above stony ground with scattered bushes."),
        _("The same place as labels: coniferous, brushwood, bare soil."),
    ),
    "flair-2": Hero(
        "img/patch-034217.webp",
        "img/labels-034217.png",
        _("Aerial image: bathers in shallow green water along a sandy beach."),
        _("The same place as labels: water, bare soil, a little brushwood."),
    ),
}


def context(challenge: Challenge) -> dict[str, Any]:
    """Return what the picture's template shows (one query for a challenge without its own)."""
    own = HEROES.get(challenge.slug)
    return {"hero": own} if own else {"squares": squares(challenge)}


def squares(challenge: Challenge) -> list[tuple[int, int, str]]:
    """Return (x, y, colour): always the same of the same challenge, each class about as often."""
    colors = pages.class_colors(challenge)
    if not colors:
        return []
    drawn = hashlib.sha512(challenge.slug.encode()).digest()
    return [(n % SIDE, n // SIDE, colors[byte % len(colors)]) for n, byte in enumerate(drawn)]
