"""The built wheel, installed into an empty environment in another folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from scoring.engine.task import specification as specs
from tests.scoring import builders

ROOT = Path(__file__).resolve().parents[2]
UV = shutil.which(
    "uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
)


def run(
    command: Sequence[object], *, cwd: Path, expect: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command without this checkout on its path; fail with its output unless it exits so."""
    hidden = {
        "DATABASE_URL", "DJANGO_SETTINGS_MODULE", "FLAIR_DATA_DIR", "PYTHONPATH", "REDIS_URL",
        "VIRTUAL_ENV",
    }  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == expect, f"{command}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built from a copy of the files that git knows."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout.split(b"\0")  # fmt: skip
    for name in filter(None, map(os.fsdecode, listed)):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    run(command, cwd=source)
    return next(folder.glob("*.whl"))


def install(wheel: Path, folder: Path, *, extras: str) -> Path:
    """Install the wheel into an empty environment; returns its interpreter."""
    assert UV is not None, "uv is part of the development environment"
    python = folder / "venv" / "bin" / "python"
    requirement = f"flair-challenge-platform[{extras}] @ {wheel.as_uri()}"
    pip = [UV, "pip", "install", "--quiet", "--constraint", ROOT / "requirements.lock"]
    run([UV, "venv", "--quiet", "--python", sys.executable, folder / "venv"], cwd=folder)
    run([*pip, "--python", python, requirement], cwd=folder)
    return python


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an empty environment with the wheel and its ``client`` extra."""
    return install(wheel, tmp_path_factory.mktemp("installed"), extras="client")


def test_the_wheel_holds_code_and_challenge_data_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {
        "challenge",
        "scoring",
        "baselines",
    }
    for name in (
        "scoring/challenges/flair-1/challenge.toml",
        "scoring/challenges/flair-1/test-ids.csv",
        "challenge/locale/fr/LC_MESSAGES/django.mo",
        "challenge/static/css/site.css",
        "challenge/templates/base.html",
        "baselines/recipes/flair-2-utt.toml",
    ):
        assert name in names


def test_the_installed_scorer_knows_the_shipped_challenges(python: Path, tmp_path: Path) -> None:
    script = (
        "from scoring.engine.task import specification as s; "
        "print(s.__file__); print(*s.shipped_names()); print(len(s.load('flair-1').expected))"
    )
    file, names, expected = run([python, "-c", script], cwd=tmp_path).stdout.splitlines()

    assert not Path(file).is_relative_to(ROOT)
    assert names.split() == list(specs.shipped_names())
    assert int(expected) == len(specs.load("flair-1").expected)


def test_python_m_scoring_scores_outside_the_checkout(python: Path, tmp_path: Path) -> None:
    classes = np.full((512, 512), 3, dtype=np.uint8)
    builders.write_tiff(tmp_path / "labels" / "MSK_000001.tif", classes + 1)
    builders.write_tiff(tmp_path / "predictions" / "PRED_000001.tif", classes)
    command = [python, "-m", "scoring", "score", "--labels", "labels", "--predictions"]

    done = run([*command, "predictions", "--spec", "flair-1", "--json"], cwd=tmp_path)

    card = json.loads(done.stdout)
    assert (card["spec"], card["patches"], card["overall_accuracy"]) == ("flair-1", 1, 1.0)


def test_the_installed_command_starts_without_django_and_says_what_it_lacks(
    python: Path, tmp_path: Path
) -> None:
    builders.write_tiff(
        tmp_path / "predictions" / "PRED_000001.tif", np.zeros((512, 512), np.uint8)
    )
    flair = python.with_name("flair")

    assert "submit" in run([flair, "--help"], cwd=tmp_path).stdout
    options = ["--phase", "flair-1/test", "--server", "http://127.0.0.1:9"]
    checked = run([flair, "check", "predictions", *options], cwd=tmp_path, expect=3)

    assert "127.0.0.1:9" in checked.stderr
    assert "Traceback" not in checked.stderr
    run([python, "-c", "import django"], cwd=tmp_path, expect=1)


def test_the_installed_site_loads_a_shipped_challenge(
    wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With embedded servers, whose data lie below the folder in which the command is run."""
    folder = tmp_path_factory.mktemp("site")
    python = install(wheel, folder, extras="site,demo")
    work = folder / "work"
    work.mkdir()
    script = (
        "flair-manage migrate -v 0 && for _ in 1 2; do flair-manage load_challenge flair-1; done"
    )
    path = f"PATH={python.parent}:$PATH"

    keep = [python, "-m", "challenge.embedded", "keep", "--"]
    done = run([*keep, "sh", "-ec", f"{path}; {script}"], cwd=work)

    created, repeated = re.findall(r"^flair-1: .*$", done.stdout, re.MULTILINE)
    assert created.startswith("flair-1: created")
    assert repeated == "flair-1: is up to date"
    assert (work / ".data").is_dir()
