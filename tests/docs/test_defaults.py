"""docs/settings.md gives the defaults that the code has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.names import ROOT

SOURCES = ("challenge/config/settings.py", "challenge/config/gunicorn.py")
# Said in words there.
IN_WORDS = {"HSTS_S": "one year", "SCORER_WORKERS": "one per core"}


def defaults() -> dict[str, int]:
    """Return the default of each setting that is read as a number or a size."""
    found = {}
    for source in SOURCES:
        for node in ast.walk(ast.parse((ROOT / source).read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if node.func.attr in {"integer", "size_bytes"} and "default" in given:
                name = ast.literal_eval(node.args[0])
                expression = ast.unparse(given["default"]).replace("MIB", "1048576")
                if re.fullmatch(r"[0-9_ *]+", expression):
                    found[name] = _product(expression)
    return found


def _product(expression: str) -> int:
    result = 1
    for factor in expression.split("*"):
        result *= int(factor)
    return result


def written(value: int) -> set[str]:
    """Return the forms in which a document may give a number of bytes, seconds or anything."""
    forms = {str(value)}
    for unit, size in (("MiB", 2**20), ("GB", 10**9), ("MB", 10**6)):
        if value % size == 0 and value >= size:
            forms |= {f"{value // size}{unit}", f"{value // size} {unit}"}
    return forms


@pytest.mark.parametrize(("name", "value"), defaults().items())
def test_default_is_documented(name: str, value: int) -> None:
    text = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    section = text.partition(f"### {name}\n")[2].partition("\n#")[0]
    said = re.search(r"Default:?\s+([^.;]*)", section)
    assert said is not None, section
    wanted = {IN_WORDS[name]} if name in IN_WORDS else written(value)
    assert any(re.search(rf"(?<![0-9]){re.escape(form)}(?![0-9])", said[1]) for form in wanted)


def test_defaults_are_found() -> None:
    assert len(defaults()) > 15
    assert Path(ROOT / SOURCES[0]).is_file()
