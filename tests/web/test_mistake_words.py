"""Mistakes that the reader of challenge files finds, in the words of French pages."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from django.utils import translation

from challenge.embedded.data_folder import ROOT
from challenge.web import mistake_words

READER = (
    "scoring/engine/task/patches.py",
    "scoring/engine/task/specification.py",
    "scoring/engine/task/tables.py",
    "challenge/services/challenges/validation.py",
    "challenge/services/challenges/schema.py",
    "challenge/services/challenges/challenge_file.py",
    "challenge/services/challenges/pages.py",
)
RAISING = {"SpecError", "add_mistake", "PydanticCustomError", "Mistake"}
# What stands for a part of a sentence that is no value.
PARTS = {"hint": "did you mean x? ", "verb": "is", "said": "the task knows no such label"}
# Of a folder or a file that is read in a terminal alone: no page gives one.
IN_TERMINALS = {
    "no specification 7: give a TOML file or a shipped name (7)",
    "7 is not readable 7: 7",
    "7 is not a row of domain, zone and id",
    "there is no 7 here; give a challenge's folder",
}


def _text(node: ast.expr) -> str | None:
    """Return a text of the source, 7 in place of every value."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if not isinstance(node, ast.JoinedStr):
        return None
    found = ""
    for part in node.values:
        if isinstance(part, ast.Constant):
            found += str(part.value)
        elif isinstance(part, ast.FormattedValue):
            value = part.value
            if isinstance(value, ast.IfExp) and isinstance(value.body, ast.Constant):
                found += str(value.body.value)
            else:
                found += PARTS.get(ast.unparse(value), "7")
    return found


def sentences() -> Iterator[str]:
    """Yield every sentence that the reader may say."""
    for name in READER:
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            given: list[ast.expr] = []
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                given = node.args[1:] if called in RAISING else []
            elif isinstance(node, ast.Return) and name.endswith(("validation.py", "pages.py")):
                given = [node.value] if node.value is not None else []
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "problem":
                given = [node.value]
            yield from (text for one in given if (text := _text(one)) and " " in text)


def test_every_sentence_of_the_reader_is_known_and_french() -> None:
    found = set(sentences()) - IN_TERMINALS
    assert len(found) > 50
    with translation.override("fr"):
        same = [text for text in sorted(found) if mistake_words.words(text) == text]
    assert same == []


@pytest.mark.parametrize(
    ("english", "french"),
    [
        (
            "task.classes[1].labels: label 3 already belongs to class 'water'",
            "task.classes[1].labels\u00a0: le label 3 appartient déjà à la classe 'water'",
        ),
        (
            "challenge.order: is 'x'; a whole number from 0 to 9 is needed",
            "challenge.order\u00a0: vaut 'x'\u00a0; il faut un nombre entier de 0 à 9",
        ),
        ("something new: 5", "something new: 5"),
    ],
)
def test_a_mistake_is_said_in_french(english: str, french: str) -> None:
    with translation.override("fr"):
        assert mistake_words.words(english) == french
    with translation.override("en"):
        assert mistake_words.words(english) == english
