"""The line of a key is found again, whatever stands between."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from challenge.rules import page_blocks
from challenge.services.challenges.toml_document import dotted, line_index, undotted

TRICKY = '''\
a = "x = 1" # b = 2
text = """
c = 3
[d]
"""
list = [
  { e = 1 }, # ]
  "]",
]
[f."g"]
h.i = 1
[[j]]
k = 1
[[j.l]]
m = 1
[j.n]
o = 'it''s'
[[j]]
k = 2
[[j.l]]
m = 2
'''


def test_lines_are_those_of_the_keys() -> None:
    tricky = TRICKY.replace("'it''s'", "'its'")
    tomllib.loads(tricky)
    index = line_index(tricky)
    assert index["a",] == 1
    assert index["text",] == 2
    assert index["list",] == 6
    assert ("b",) not in index
    assert ("c",) not in index
    assert ("d",) not in index
    assert index["f", "g", "h", "i"] == 11
    assert index["j", 0, "k"] == 13
    assert index["j", 0, "l", 0, "m"] == 15
    assert index["j", 0, "n", "o"] == 17
    assert index["j", 1, "k"] == 19
    assert index["j", 1, "l", 0, "m"] == 21


_values = st.one_of(
    st.integers(-9, 9).map(str),
    st.text(alphabet="ab=[]#{}' ", max_size=8).map(lambda t: f'"{t}"'),
    st.text(alphabet='ab=[]#{}" \n', max_size=8).map(lambda t: f"'''{t}'''"),
    st.lists(st.integers(0, 9), max_size=3).map(
        lambda v: "[\n" + "".join(f" {i},\n" for i in v) + "]"
    ),
    st.text(alphabet="ab=]#", max_size=5).map(lambda t: f'{{ x = "{t}" }}'),
)


@given(st.lists(_values, min_size=1, max_size=8))
def test_every_key_of_a_valid_file_is_found(values: list[str]) -> None:
    text, expected = "", {}
    for number, value in enumerate(values):
        expected[f"key{number}"] = text.count("\n") + 1
        text += f"key{number} = {value}\n"
    document: dict[str, Any] = tomllib.loads(text)
    index = line_index(text)
    assert {path[0]: line for path, line in index.items()} == expected
    assert set(document) == set(expected)


def test_dotted_paths_come_back() -> None:
    assert undotted("task.classes[2].id") == ("task", "classes", 2, "id")
    assert dotted(("task", "classes", 2, "id")) == "task.classes[2].id"


def test_a_page_is_cut_at_its_marks() -> None:
    pieces = page_blocks.split("[[figures]]\nOne [[classes]] in a line.\n\n[[domains]] \n[[x]]\n")
    assert [(p.markdown, p.block) for p in pieces] == [
        ("", "figures"),
        ("One [[classes]] in a line.", ""),
        ("", "domains"),
        ("[[x]]", ""),
    ]
    assert page_blocks.unknown("a\n[[x]]\n[[classes]]") == [(2, "x")]
