"""Folder names in code pages whose letters may hold the byte of a backslash."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from scoring.engine.archive import listing as archive
from scoring.engine.task import specification as specs
from tests.scoring.attacks import zips

PAGES = ("cp932", "cp936", "cp949", "cp950", "big5hkscs", "shift_jis_2004", "gb18030")
IDS = ("061713",)
SPEC = specs.load("flair-1")
ASCII = "abcXYZ019 _-.()"


@cache
def letters(page: str) -> tuple[str, ...]:
    """All letters that the code page writes in two bytes."""
    found = []
    for lead in range(0x81, 0xFF):
        for trail in range(0x40, 0xFF):
            try:
                letter = bytes((lead, trail)).decode(page)
            except UnicodeDecodeError:
                continue
            if len(letter) == 1 and letter.encode(page) == bytes((lead, trail)):
                found.append(letter)
    return tuple(found)


@cache
def names(page: str) -> st.SearchStrategy[str]:
    """Names of such letters and ASCII."""
    return st.text(st.sampled_from([*letters(page), *ASCII]), min_size=1, max_size=12)


def problems(path: Path, folder: bytes) -> list[str]:
    """What the reader says of an archive with one prediction in the folder, without UTF-8 flag."""
    path.write_bytes(zips.archive([zips.Item(folder + b"/PRED_061713.tif", b"x", method=0)]))
    listing = archive.open_upload(path, spec=SPEC, expected_ids=IDS)
    listing.close()
    assert len(listing.members) == (0 if listing.problems else 1)
    return [problem.code for problem in listing.problems]


@pytest.mark.parametrize("page", PAGES)
def test_every_letter_with_a_backslash_byte_may_be_in_a_folders_name(
    page: str, tmp_path: Path
) -> None:
    raw = [letter.encode(page) for letter in letters(page) if letter.encode(page)[1] == 0x5C]
    assert bool(raw) == (page != "cp949")  # Korean letters have none
    for letter in raw:
        assert problems(tmp_path / "a.zip", letter) == [], letter
        assert problems(tmp_path / "a.zip", b"a" + letter + b"b") == [], letter


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("code-pages")


@given(page=st.sampled_from(PAGES), data=st.data())
def test_any_name_in_these_code_pages_is_accepted(
    folder: Path, page: str, data: st.DataObject
) -> None:
    name = data.draw(names(page))
    raw = name.encode(page)
    assume(raw != b"..")
    assume(not is_utf8(raw) or b"\\" not in raw)  # the same bytes are a name with a real one
    assert problems(folder / "a.zip", raw) == []


@given(name=names("cp932"))
@example(name="ソ")
@example(name="é")
def test_a_backslash_behind_ascii_is_always_one(folder: Path, name: str) -> None:
    raw = name.encode("cp932", "ignore") + b"x\\y"
    assert problems(folder / "a.zip", raw) == ["member-name-unsafe"]


def is_utf8(raw: bytes) -> bool:
    """Whether the bytes are UTF-8."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
