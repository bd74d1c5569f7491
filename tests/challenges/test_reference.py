"""docs/challenge-file.md names every key that the loader knows, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from challenge.rules import page_blocks
from challenge.services.challenges import schema

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/challenge-file.md").read_text("utf-8")


def keys_of(model: type[BaseModel]) -> set[str]:
    """The keys of a table and of the tables in it, as they are written in the file."""
    keys: set[str] = set()
    for name, field in model.model_fields.items():
        keys.add(field.alias or name)
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys |= keys_of(part)
    return keys


def test_every_key_that_is_read_is_documented() -> None:
    keys = keys_of(schema.Document)

    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    words = set(re.findall(r"[a-z][a-z_]+", " ".join(re.findall(r"`([^`]+)`", prose))))
    assert len(keys) > 50
    assert keys - words == set()


def test_every_mark_is_documented() -> None:
    marks = set(re.findall(r"^\| `\[\[(\w+)\]\]` \| (?:the|The)", TEXT, re.MULTILINE))
    assert marks == set(page_blocks.BLOCKS)
