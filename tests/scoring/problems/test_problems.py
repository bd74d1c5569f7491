"""One catalogue, two languages, no unsafe character."""

from __future__ import annotations

import ast
import json
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.engine.problems import problems
from scoring.engine.problems.catalogue import CATALOGUE, PHRASES, SINGULAR
from scoring.engine.problems.problems import Problem, ProblemList, safe_name

ENGINE = Path(problems.__file__).parents[1]


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("code", CATALOGUE)
def test_both_languages_use_the_same_parameters(code: str) -> None:
    texts = CATALOGUE[code]
    assert set(texts) == set(problems.LANGUAGES)
    assert fields(texts["en"]) == fields(texts["fr"])
    assert texts["en"] != texts["fr"]
    assert code == code.lower().replace("_", "-")


def test_every_code_is_raised_somewhere_and_no_other() -> None:
    """A code nobody raises is a text nobody keeps right."""
    used = {
        node.value
        for path in ENGINE.rglob("*.py")
        if path.name != "catalogue.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    used |= {"note-not-checked-here"}  # the browser's: the score engine leaves nothing unchecked
    assert set(CATALOGUE) <= used
    assert set(PHRASES) <= used


def test_an_unknown_code_or_phrase_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Problem.of("no-such-code")
    with pytest.raises(KeyError):
        Problem.of("member-damaged", what="my own words")
    with pytest.raises(KeyError):
        Problem.of("unknown-patch")


@given(st.text(max_size=400))
def test_names_become_printable_and_short(name: str) -> None:
    safe = safe_name(name)
    assert len(safe) <= problems.NAME_CHARACTERS
    assert safe.isprintable()
    assert safe_name(safe) == safe


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_problem_survives_json(file: str, other: str) -> None:
    problem = Problem.of("duplicate-patch", file=file, id="061713", other=other)
    again = Problem.from_json(json.loads(json.dumps(problem.to_json())))
    assert again == problem
    assert again.text("fr") == problem.text("fr")


def test_phrases_are_translated_into_french() -> None:
    problem = Problem.of("member-damaged", file="a.tif", what="fewer bytes than announced")
    assert "moins d’octets" in problem.text("fr")


def test_one_problem_is_worded_in_the_singular() -> None:
    one = Problem.of("missing-patches", count=1, expected=48, ids="061713")
    two = Problem.of("missing-patches", count=2, expected=48, ids="061713, 061714")
    assert one.message == "1 of 48 patches is missing: 061713. Add its raster."
    assert two.message.startswith("2 of 48 patches are missing (first: 061713, 061714).")
    assert one.text("fr").startswith("Il manque 1 patch sur 48")
    pixel = Problem.of("values-one-based", pixels=1, value=13, highest=12)
    assert pixel.message.startswith("1 pixel has value 13;")


@pytest.mark.parametrize("code", SINGULAR)
def test_the_singular_says_the_same_with_the_same_parameters(code: str) -> None:
    for language in problems.LANGUAGES:
        counted = {"count", "pixels"} & fields(CATALOGUE[code][language])
        assert len(counted) == 1
        assert fields(SINGULAR[code][language]) == fields(CATALOGUE[code][language]) - counted


def test_french_is_typeset() -> None:
    """High punctuation never begins a line; a file's name takes its colon in the same way."""
    problem = Problem.of("values-one-based", file="a.tif", pixels=312, value=13, highest=12)
    assert problem.text("fr").startswith("a.tif\u00a0: 312 pixels valent 13\u00a0; admis\u00a0: 0")
    for text in [both["fr"] for both in (*CATALOGUE.values(), *SINGULAR.values())]:
        assert not re.search(r" [;:!?»]|« |\w'\w", text)


def test_twenty_are_listed_and_the_rest_counted() -> None:
    findings = ProblemList()
    findings.extend(Problem.of("member-crc", file=f"{n}.tif") for n in range(25))
    findings.insert_first(Problem.of("archive-no-entries"))
    assert [p.code for p in findings][:2] == ["archive-no-entries", "member-crc"]
    assert len(list(findings)) == problems.LISTED_PROBLEMS
    assert findings.more == 6


def test_the_export_is_plain_json() -> None:
    assert json.loads(json.dumps(problems.export())) == {c: dict(t) for c, t in CATALOGUE.items()}
