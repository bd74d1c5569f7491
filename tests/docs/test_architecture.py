"""docs/architecture.md and its drawing say what the code enforces."""

from __future__ import annotations

import re

from challenge.rules.lifecycle import TRANSITIONS
from tests.docs import architecture
from tests.docs.architecture import ROOT

TEXT = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def test_drawing_shows_the_contracts() -> None:
    drawn = architecture.DRAWING.read_text(encoding="utf-8")
    assert drawn == architecture.draw(), "run python -m tests.docs.architecture"


def test_drawing_is_in_the_document() -> None:
    assert f"](images/{architecture.DRAWING.name})" in TEXT


def test_every_layer_of_the_site_has_a_row() -> None:
    layers = {name for row in architecture.layers()["challenge"] for name in row}
    named = set(re.findall(r"`challenge/([a-z_]+)(?:\.py)?`", TEXT))
    # `apps` is Django's own module, with nothing to say of it.
    assert layers - named == {"apps"}


def test_states_and_quota_are_those_of_the_rules() -> None:
    states = TEXT.partition("### States of an evaluation")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z]+) \| ([a-z]+) \| [^|]+ \| ?([a-z]*) ?\|$", states, re.MULTILINE)
    written = {(old, new): quota or None for old, new, quota in rows if old != "from"}
    assert written == {
        (old.value, new.value): move.quota.value if move.quota else None
        for (old, new), move in TRANSITIONS.items()
    }
