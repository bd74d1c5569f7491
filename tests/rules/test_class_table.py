"""Classes as a CSV: what people paste, and what is refused with its line."""

from __future__ import annotations

import pytest

from challenge.rules import class_table
from challenge.rules.class_table import ClassTableError

TABLE = """name_en,name_fr,color,labels,scored,key
forest,forêt,#194a26,1 7,yes,trees
open water,eau,#1553AE,2,no,
"""


def test_a_table_is_read_whole_and_written_back() -> None:
    classes = class_table.read(TABLE)
    assert classes == [
        {"id": 0, "key": "trees", "name": {"en": "forest", "fr": "forêt"}, "color": "#194a26",
         "labels": [1, 7], "scored": True},
        {"id": 1, "key": "open_water", "name": {"en": "open water", "fr": "eau"},
         "color": "#1553ae", "labels": [2], "scored": False},
    ]  # fmt: skip
    assert class_table.read(class_table.write(classes)) == classes
    rows = class_table.nomenclature(classes)
    assert [(row["label"], row["key"], row["class"]) for row in rows] == [
        (1, "trees_1", "trees"),
        (2, "open_water", "open_water"),
        (7, "trees_7", "trees"),
    ]


def test_only_a_name_is_needed_and_a_spreadsheets_separator_is_found() -> None:
    text = "\ufeffname\tcolor\r\nforest\t\r\n\r\nwater\t#000000\r\n"
    classes = class_table.read(text, label_offset=1)
    assert [(one["labels"], one["color"]) for one in classes] == [
        ([1], class_table.PALETTE[0]),
        ([2], "#000000"),
    ]
    assert classes[0]["name"] == {"en": "forest", "fr": "forest"}


@pytest.mark.parametrize(
    ("text", "line", "column", "found"),
    [
        ("", 1, "name_en", ""),
        ("name_en,nom\nx,y", 1, "nom", "nom"),
        ("name_en,name\nx,y", 1, "name_en", "name_en"),
        ("color\n#000000", 1, "name_en", "color"),
        ("name_en,color\nforest,#194a26\n,#194a26", 3, "name_en", ""),
        ("name_en,color\nforest,green", 2, "color", "green"),
        ("name_en,labels\nforest,300", 2, "labels", "300"),
        ("name_en,labels\nforest,\u0663", 2, "labels", "\u0663"),
        ("name_en,scored\nforest,maybe", 2, "scored", "maybe"),
        ("name_en,key\nforest,\u00c4", 2, "key", "\u00c4"),
        ("name_en\n\u68ee", 2, "key", ""),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(
    text: str, line: int, column: str, found: str
) -> None:
    with pytest.raises(ClassTableError) as caught:
        class_table.read(text)
    assert (caught.value.line, caught.value.column, caught.value.found) == (line, column, found)
