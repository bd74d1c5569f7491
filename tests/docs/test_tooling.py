"""Pre-commit and hosted CI run commands that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))


def test_pre_commit_accepts_its_configuration() -> None:
    subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml"],
        cwd=ROOT,
        check=True,
    )


def test_hooks_fetch_nothing() -> None:
    assert {repository["repo"] for repository in HOOKS["repos"]} == {"local"}
    assert {hook["language"] for hook in HOOKS["repos"][0]["hooks"]} == {"system"}


@pytest.mark.parametrize("hook", HOOKS["repos"][0]["hooks"], ids=lambda hook: hook["id"])
def test_hook_calls_a_tool_of_the_environment(hook: dict[str, Any]) -> None:
    program = hook["entry"].split()[0]
    assert program.startswith(".venv/bin/")
    assert (Path(sys.prefix) / "bin" / Path(program).name).exists()


def test_hosted_ci_runs_the_commands_of_the_readme_and_the_checks() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    two = re.search(r"## Two commands\n\n```sh\n(.*?)```", readme, re.DOTALL)
    commands = re.findall(r"^(make [a-z]+)", two[1], re.MULTILINE)
    steps = [
        step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step
    ]

    assert len(commands) == 2
    for command in [*commands, "make check"]:
        assert any(step.startswith(command) for step in steps), command
