"""Decision records: one form, unique numbers, an index that lists them all."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.docs import decisions


@pytest.mark.parametrize("path", decisions.files(), ids=lambda path: path.name)
def test_record_has_the_common_form(path: Path) -> None:
    decisions.read(path)


def test_numbers_are_unique() -> None:
    numbers = Counter(path.name[:3] for path in decisions.files())
    assert [number for number, count in numbers.items() if count > 1] == []
    assert not set(numbers) & set(decisions.MOVED)


def test_index_lists_every_record() -> None:
    written = decisions.INDEX.read_text(encoding="utf-8")
    assert written == decisions.index(), "run python -m tests.docs.decisions"


def test_records_name_existing_records() -> None:
    known = {path.name[:3] for path in decisions.files()} | set(decisions.MOVED)
    for path in decisions.files():
        text = path.read_text(encoding="utf-8")
        named = set(re.findall(r"decisions? (?:record )?([0-9]{3})\b", text, re.IGNORECASE))
        named |= set(decisions.read(path).by)
        assert named <= known, path.name
