"""Every known attack is refused with its own code, its file's name, in bounded time and memory.

The worker's engine, the check without labels (`flair check`, `python -m scoring validate`) and the
submit page's reader say the same of every archive, refused or accepted, in both languages.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scoring.engine.kernels import choice
from scoring.engine.problems.problems import LANGUAGES, Problem
from scoring.engine.task import specification as specs
from tests.once import made_once
from tests.scoring.attacks import costs, in_browser
from tests.scoring.attacks.accepted import OTHER_PIXELS, Accepted
from tests.scoring.attacks.costs import ACCEPTED, ATTACKS, Results
from tests.scoring.attacks.table import Attack
from tests.scoring.attacks.world import IDS

# One process measures all attacks for all tests of this module: on a busy machine for minutes.
pytestmark = pytest.mark.timeout(2 * costs.TIMEOUT_S)

# What shows that the cost is bounded, on any machine and beside other work; `make bench` has the
# figures.
CPU_SECONDS = 20.0
WALL_SECONDS = 60.0
MEGABYTES = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases as archives, and a packed truth."""
    return made_once(tmp_path_factory, "attack-archives", costs.write_archives)


@pytest.fixture(scope="module")
def in_chromium(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, in_browser.Report]:
    """What the submit page's reader finds in all cases."""
    names = list(costs.cases())
    files = [f"{number}.zip" for number in range(len(names))]

    def read(into: Path) -> None:
        reports = in_browser.check(folder, files, spec=specs.load("flair-1"), ids=IDS)
        (into / "reports.json").write_text(json.dumps(reports), encoding="utf-8")

    made = made_once(tmp_path_factory, "attacks-in-chromium", read)
    reports = json.loads((made / "reports.json").read_text(encoding="utf-8"))
    return dict(zip(names, reports, strict=True))


@pytest.fixture(scope="module")
def results(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Verdicts of all cases, from one clean process outside this one."""

    def measure(into: Path) -> None:
        (into / "results.json").write_text(json.dumps(costs.measure(folder)), encoding="utf-8")

    made = made_once(tmp_path_factory, "attack-results", measure)
    measured: Results = json.loads((made / "results.json").read_text(encoding="utf-8"))
    return measured


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
def test_the_check_without_labels_says_the_same(attack: Attack, results: Results) -> None:
    """It goes on to rasters where the score stops at the archive: there may be more."""
    result = results[f"attack {attack.name}"]
    found = result["check"]["errors"]
    assert found[: len(result["errors"])] == result["errors"]
    assert len(found) + result["check"]["more"] >= len(result["errors"]) + result["more"]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_the_browser_says_the_same(
    attack: Attack, results: Results, in_chromium: dict[str, in_browser.Report]
) -> None:
    check, report = results[f"attack {attack.name}"]["check"], in_chromium[f"attack {attack.name}"]
    if attack.not_checked is not None:
        assert report["problems"] == []
        assert not_checked(report) == attack.not_checked
        return
    assert report["not_checked"] is None
    assert attack.code in [problem["code"] for problem in report["problems"]]
    assert as_texts(report["problems"]) == [texts_of(error) for error in check["errors"]]
    assert report["more"] == check["more"]


@pytest.mark.parametrize("case", [*ACCEPTED, *OTHER_PIXELS], ids=lambda a: a.name)
def test_the_browser_accepts_the_same(
    case: Accepted, results: Results, in_chromium: dict[str, in_browser.Report]
) -> None:
    """With the same notes; what it cannot read is no success."""
    check, report = results[f"accept {case.name}"]["check"], in_chromium[f"accept {case.name}"]
    assert report["problems"] == []
    assert not_checked(report) == case.not_checked
    if case.not_checked is None:
        assert as_texts(report["notes"]) == [texts_of(note) for note in check["notes"]]


def not_checked(report: in_browser.Report) -> str | None:
    """What the browser could not decode; None where it could all."""
    problem = report["not_checked"]
    if problem is None:
        return None
    assert problem["code"] == "note-not-checked-here"
    return str(problem["params"]["codec"])


def as_texts(problems: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Each problem's texts by language."""
    return [problem["texts"] for problem in problems]


def texts_of(document: dict[str, Any]) -> dict[str, str]:
    """The texts of a problem in JSON, by language."""
    problem = Problem.from_json(document)
    return {language: problem.text(language) for language in LANGUAGES}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_its_cost_is_bounded(attack: Attack, results: Results) -> None:
    result = results[f"attack {attack.name}"]
    assert result["cpu_s"] < CPU_SECONDS
    assert result["wall_s"] < WALL_SECONDS
    # Of each process; most of a decoder's pages are its parent's, so the sum is less than twice.
    assert max(result["scorer_bytes"], result["decoder_bytes"]) < MEGABYTES * 2**20


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_errors_are_translated_and_hold_no_secrets(attack: Attack, results: Results) -> None:
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
    assert result["check"]["errors"] == []


@pytest.mark.parametrize("case", OTHER_PIXELS, ids=lambda a: a.name)
def test_is_accepted_with_a_note(case: Accepted, results: Results) -> None:
    result = results[f"accept {case.name}"]
    assert result["verdict"] == "scored"
    assert case.note in result["notes"]


def test_the_plain_kernels_give_the_same_verdicts(folder: Path, results: Results) -> None:
    plain = costs.measure(folder, "--inline", kernels=choice.PLAIN)
    for name, result in results.items():
        for key in result.keys() - {"wall_s", "cpu_s", "scorer_bytes", "decoder_bytes"}:
            assert plain[name][key] == result[key], f"{name}: {key}"
