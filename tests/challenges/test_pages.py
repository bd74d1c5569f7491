"""What the pages tell participants to type does what the pages say."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scoring.engine.task import specification as task_spec

CHALLENGES = Path(__file__).resolve().parents[2] / "challenges"


def code_of(slug: str, page: str, language: str) -> list[str]:
    text = (CHALLENGES / slug / f"pages/{page}.{language}.md").read_text(encoding="utf-8")
    return re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize(("slug", "language"), [("flair-1", "en"), ("flair-2", "fr")])
def test_the_python_example_writes_an_archive_that_passes(
    slug: str, language: str, tmp_path: Path
) -> None:
    ids = [p.id for p in task_spec.load(slug).expected[:3]]
    (tmp_path / "ids.csv").write_text("patch\n" + "\n".join(ids) + "\n")
    example = code_of(slug, "submission", language)[0]
    random = np.random.default_rng(1)
    predictions = [(i, random.integers(0, 13, (512, 512), dtype=np.uint8)) for i in ids]
    with contextlib.chdir(tmp_path):
        exec(compile(example, "example", "exec"), {"predictions": predictions})

    with zipfile.ZipFile(tmp_path / "predictions.zip") as archive:
        assert archive.namelist() == [f"PRED_{i}.tif" for i in ids]
    done = scoring(
        "validate", "--spec", slug, "--ids", "ids.csv", "--predictions", "predictions.zip",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("slug", ["flair-1", "flair-2"])
def test_the_validate_command_knows_the_challenges_ids(slug: str, tmp_path: Path) -> None:
    (tmp_path / "predictions.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    (command,) = list(commands(slug, "validate"))
    done = scoring(*command, "--json", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert json.loads(done.stdout)["errors"]


def test_every_scoring_command_on_the_pages_exists() -> None:
    for slug in ("flair-1", "flair-2"):
        for name in ("validate", "score"):
            (command,) = list(commands(slug, name))
            options = {word for word in command if word.startswith("--")}
            known = scoring(name, "--help", cwd=CHALLENGES).stdout
            assert options
            assert all(option in known for option in options)


@pytest.mark.parametrize("slug", ["flair-1", "flair-2"])
def test_every_baselines_command_on_the_pages_exists(slug: str) -> None:
    lines = [shlex.split(x) for x in code_of(slug, "baselines", "en")[0].splitlines()]
    assert [words[3] for words in lines] == ["train", "predict", "package"]
    assert (CHALLENGES.parent / "baselines/recipes" / f"{lines[0][4]}.toml").is_file()
    assert lines[2][-2:] == ["--spec", slug]
    for words in lines:
        known = run("baselines", words[3], "--help", cwd=CHALLENGES).stdout
        assert all(word in known for word in words if word.startswith("--")), known


def test_every_flair_command_on_the_pages_exists() -> None:
    lines = [shlex.split(x) for x in code_of("flair-1", "submission", "en")[1].splitlines()]
    assert [words[:2] for words in lines] == [["flair", "check"], ["flair", "submit"]]
    for words in lines:
        known = run("scoring.client", words[1], "--help", cwd=CHALLENGES).stdout
        assert all(word in known for word in words if word.startswith("--")), known


def commands(slug: str, name: str) -> Iterator[list[str]]:
    """Arguments of the ``python -m scoring`` command of that name on the evaluation page."""
    for block in code_of(slug, "evaluation", "en"):
        for line in block.splitlines():
            words = shlex.split(line)
            if words[:4] == ["python", "-m", "scoring", name]:
                yield words[3:]


def scoring(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run("scoring", *words, cwd=cwd)


def run(module: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
