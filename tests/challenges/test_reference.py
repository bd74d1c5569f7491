"""docs/challenge-file.md names every key that the loader knows, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from challenge.rules import page_blocks
from challenge.services import challenge_file
from challenge.services.toml_reader import Table
from scoring.engine import spec as task_spec

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/challenge-file.md").read_text("utf-8")


def test_every_key_that_is_read_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()
    done = Table.done

    def remember(table: Table) -> None:
        asked.update(table._asked)
        done(table)

    monkeypatch.setattr(Table, "done", remember)
    for folder in ("flair-1", "flair-2"):
        challenge_file.read(ROOT / "challenges" / folder)

    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    words = set(re.findall(r"[a-z][a-z_]+", " ".join(re.findall(r"`([^`]+)`", prose))))
    classes = {c.key for c in task_spec.load("flair-1").classes}  # keys of results.ious
    assert len(asked) > 50
    assert asked - classes - words == set()


def test_every_mark_is_documented() -> None:
    marks = set(re.findall(r"^\| `\[\[(\w+)\]\]` \| (?:the|The)", TEXT, re.MULTILINE))
    assert marks == set(page_blocks.BLOCKS)
