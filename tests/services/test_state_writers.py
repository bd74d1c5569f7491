"""States are assigned in one place, and every refusal is in the catalogue."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from challenge.embedded.data_folder import ROOT
from challenge.errors import CATALOGUE, Refusal, refuse

# Where a column called "state" may be written: the state machine of leased jobs, and registrations,
# which have no transitions (approved or refused, as often as an organiser likes).
WRITERS = {
    "challenge/services/leased_jobs.py",
    "challenge/services/teams/teams.py",
    "challenge/services/teams/winner_documents.py",  # of documents that were asked for
}
CODE = re.compile(r'\brefuse\(\s*"([a-z0-9-]+)"')


def sources() -> Iterator[Path]:
    for room in ("challenge", "scoring", "baselines"):
        for path in sorted((ROOT / room).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def state_writes(path: Path) -> list[int]:
    """Lines that assign ``….state`` or pass ``state=`` to ``update``, ``create`` and their kind."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [
                node.lineno
                for target in targets
                if isinstance(target, ast.Attribute) and target.attr == "state"
            ]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            writes = node.func.attr in {"update", "create", "bulk_create", "update_or_create"}
            if writes and any(keyword.arg == "state" for keyword in node.keywords):
                found.append(node.lineno)
    return found


def test_only_the_state_machine_assigns_a_state() -> None:
    writers = {
        str(path.relative_to(ROOT)): lines for path in sources() if (lines := state_writes(path))
    }
    assert set(writers) <= WRITERS, writers
    assert "challenge/services/leased_jobs.py" in writers


def test_every_code_that_is_raised_is_in_the_catalogue_and_no_other() -> None:
    raised: set[str] = set()
    for path in sources():
        raised |= set(CODE.findall(path.read_text(encoding="utf-8")))
    assert raised - set(CATALOGUE) == set()
    unraised = {code for code in CATALOGUE if not any(code in text for text in _texts())}
    assert unraised == set()


def _texts() -> list[str]:
    own = ROOT / "challenge" / "errors.py"
    return [path.read_text(encoding="utf-8") for path in sources() if path != own]


def test_a_refusal_carries_code_status_and_filled_message() -> None:
    refusal = refuse("quota-total-used", limit=5)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.status) == ("quota-total-used", 429)
    assert "5" in str(refusal)
    assert refusal.params == {"limit": 5}
