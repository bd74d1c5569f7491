"""Whether a name that a document mentions exists in the code; nothing is imported for it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("challenge", "scoring", "baselines", "tests")


def exists(dotted: str) -> bool:
    """Say whether ``package.module.Class.attribute`` (or a part of it) is defined.

    >>> exists("scoring.engine.version.ENGINE_VERSION"), exists("scoring.engine.version.OTHER")
    (True, False)
    """
    folder, *rest = dotted.split(".")
    path = ROOT / folder
    while rest and (path / rest[0]).is_dir():
        path /= rest.pop(0)
    if rest and (path / f"{rest[0]}.py").is_file():
        module = path / f"{rest.pop(0)}.py"
    elif path.is_dir():
        module = path / "__init__.py"
    else:
        return False
    if not rest:
        return True
    return module.is_file() and _defines(_parsed(module).body, rest)


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _defines(body: list[ast.stmt], names: list[str]) -> bool:
    first, *rest = names
    for statement in body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if statement.name != first:
                continue
            if not rest:
                return True
            if isinstance(statement, ast.ClassDef):
                return _defines(statement.body, rest)
        elif rest and isinstance(statement, ast.ImportFrom) and first in _bound(statement):
            return exists(".".join([statement.module or "", first, *rest]))
        elif not rest and first in _bound(statement):
            return True
    return False


def _bound(statement: ast.stmt) -> set[str]:
    """Return the names that a statement binds: assignments and imports."""
    if isinstance(statement, ast.Assign):
        return {node.id for target in statement.targets for node in ast.walk(target)
                if isinstance(node, ast.Name)}  # fmt: skip
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return {statement.target.id}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in statement.names}
    return set()
