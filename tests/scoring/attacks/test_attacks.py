"""Every known attack is refused with its own code, its file's name, in bounded time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scoring.engine.problems import Problem
from tests.scoring.attacks import accepted, table, unlisted
from tests.scoring.attacks.accepted import OTHER_PIXELS, Accepted
from tests.scoring.attacks.table import Attack
from tests.scoring.attacks.world import World

ATTACKS = [*table.ATTACKS, *unlisted.ATTACKS]
ACCEPTED = [*accepted.ACCEPTED, *unlisted.ACCEPTED]
SECONDS = 2.0
BUSY_SECONDS = 20.0  # on the clock, where other work may share the processor
MEGABYTES = 200
ROOT = Path(__file__).resolve().parents[3]

Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Verdicts of all cases, from one clean process outside this one."""
    world, folder = World(), tmp_path_factory.mktemp("uploads")
    world.write_truth(folder / "truth")
    cases: dict[str, Callable[[World], bytes]] = {"honest": lambda w: w.archive()}
    cases |= {f"attack {a.name}": a.build for a in ATTACKS}
    cases |= {f"accept {a.name}": a.build for a in (*ACCEPTED, *OTHER_PIXELS)}
    paths = []
    for number, build in enumerate(cases.values()):
        paths.append(folder / f"{number}.zip")
        paths[-1].write_bytes(build(world))
    done = subprocess.run(
        [sys.executable, "-m", "tests.scoring.attacks.runner", folder / "truth"],
        input="\n".join(map(str, paths)).encode(),
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return dict(zip(cases, rows, strict=True))


def test_names_are_unique() -> None:
    names = [a.name for a in ATTACKS] + [a.name for a in (*ACCEPTED, *OTHER_PIXELS)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_is_rejected(attack: Attack, results: Results) -> None:
    result = results[f"attack {attack.name}"]
    assert result["verdict"] == "rejected"
    found = [e for e in result["errors"] if e["code"] == attack.code]
    assert found, [e["message"] for e in result["errors"]]
    assert attack.fragment in found[0]["message"]
    if attack.file is None:
        assert found[0]["file"] is None
    else:
        assert attack.file in found[0]["file"]
        assert found[0]["message"].startswith(found[0]["file"])


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_is_found_without_labels_too(attack: Attack, results: Results) -> None:
    assert attack.code in results[f"attack {attack.name}"]["check"]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_costs_little(attack: Attack, results: Results) -> None:
    result = results[f"attack {attack.name}"]
    assert result["cpu_s"] < SECONDS
    assert result["wall_s"] < BUSY_SECONDS
    # Of each process; most of a decoder's pages are its parent's, so the sum is less than twice.
    assert max(result["scorer_bytes"], result["decoder_bytes"]) < MEGABYTES * 2**20


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_is_told_in_both_languages_without_secrets(attack: Attack, results: Results) -> None:
    for error in results[f"attack {attack.name}"]["errors"]:
        problem = Problem.from_json(error)
        assert problem.message == error["message"]
        assert problem.text("fr") != problem.message
        for text in (problem.message, problem.text("fr")):
            assert "/tmp" not in text or "/tmp" in (problem.file or "")
            assert "Traceback" not in text
            assert text.replace("\u00a0", " ").isprintable()  # French puts it before ; : ! ?


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda a: a.name)
def test_is_accepted_with_the_same_pixels(case: Accepted, results: Results) -> None:
    result, honest = results[f"accept {case.name}"], results["honest"]
    assert result["verdict"] == "scored", result
    assert result["content"] == honest["content"]
    assert result["confusion"] == honest["confusion"]
    assert result["notes"] == ([case.note] if case.note else [])
    assert result["check"] == []


@pytest.mark.parametrize("case", OTHER_PIXELS, ids=lambda a: a.name)
def test_is_accepted_with_a_note(case: Accepted, results: Results) -> None:
    result = results[f"accept {case.name}"]
    assert result["verdict"] == "scored"
    assert case.note in result["notes"]
