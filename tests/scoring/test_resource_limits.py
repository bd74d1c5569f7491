"""The real commands in shells with hard resource limits, as batch systems and containers set them.

A limit that is lower than the scorer's own stays and is named where it is the cause of a failure;
whatever fits under it is scored as without it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scoring.client import credentials, phases
from scoring.engine import resource_limits
from scoring.engine.task.specification import parse
from tests.scoring import builders
from tests.scoring.cli.test_cli import TASK

ROOT = Path(__file__).resolve().parents[2]
MIB_IN_KIB = 1024
ORDINARY_USER = 54321  # without any process but these tests', so that they can count


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task with twelve masks, folder and packed, and predictions."""
    folder = tmp_path_factory.mktemp("limits")
    (folder / "tiny.toml").write_text(TASK)
    spec = builders.task()
    truth = builders.masks(spec, count=12)
    builders.write_mask_folders(folder / "labels", truth)
    builders.write_archive(folder / "good.zip", builders.predictions(spec, truth, wrong=0.1))
    builders.write_archive(folder / "bad.zip", {name: mask + 9 for name, mask in truth.items()})
    return folder


def run_limited(
    ulimit: str, *command: str | Path, user: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command under ``ulimit OPTION VALUE``, soft and hard; its output goes to pipes."""
    shell = ("bash", "-c", f'ulimit {ulimit} && exec "$@"', "limited")
    return subprocess.run(
        [*user, *shell, *map(str, command)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def score(world: Path, ulimit: str, *more: str, user: tuple[str, ...] = ()) -> object:
    """The scorer's card, without what differs from run to run, or its message on stderr."""
    done = run_limited(
        ulimit, sys.executable, "-m", "scoring", "score", "--labels", world / "labels",
        "--predictions", world / "good.zip", "--spec", world / "tiny.toml", "--json", *more,
        user=user,
    )  # fmt: skip
    if done.returncode:
        assert done.returncode == 2, done
        assert "Traceback" not in done.stderr
        return done.stderr
    card = json.loads(done.stdout)
    del card["seconds"]
    return card


def validate(world: Path, ulimit: str, name: str) -> subprocess.CompletedProcess[str]:
    return run_limited(
        ulimit, sys.executable, "-m", "scoring", "validate", "--predictions", world / name,
        "--spec", world / "tiny.toml", "--json",
    )  # fmt: skip


@pytest.fixture(scope="module")
def unlimited(world: Path) -> object:
    card = score(world, "-c 0")
    assert isinstance(card, dict)
    return card


FITTING = ["-v 4194304", "-v 2097152", f"-v {640 * MIB_IN_KIB}", "-n 64", "-n 28", "-f 64", "-l 0"]


@pytest.mark.parametrize("ulimit", FITTING)
def test_a_score_under_a_limit_is_the_score_without(
    world: Path, unlimited: object, ulimit: str
) -> None:
    assert score(world, ulimit) == unlimited


@pytest.mark.parametrize("ulimit", ["-v 2097152", f"-v {640 * MIB_IN_KIB}", "-n 64", "-f 64"])
def test_validate_accepts_and_refuses_as_without_a_limit(world: Path, ulimit: str) -> None:
    accepted, refused = validate(world, ulimit, "good.zip"), validate(world, ulimit, "bad.zip")
    assert accepted.returncode == 0, accepted.stderr
    assert json.loads(accepted.stdout)["patches"] == 12
    assert refused.returncode == 1, refused.stderr
    assert json.loads(refused.stdout)["errors"][0]["code"] == "values-out-of-range"


def test_more_decoders_than_descriptors_are_not_started(world: Path, unlimited: object) -> None:
    assert score(world, "-n 64", "--workers", "40") == unlimited


@pytest.mark.parametrize(
    ("ulimit", "words"),
    [
        ("-v 200000", "is limited to 195 MiB (ulimit -v); at least"),
        ("-n 8", "open files at most 8 (ulimit -n)"),
        ("-n 14", "open files at most 14 (ulimit -n)"),
        ("-f 1", "size of a file at most 1 KiB (ulimit -f)"),
    ],
)
def test_where_no_score_is_possible_the_limit_is_named(
    world: Path, ulimit: str, words: str
) -> None:
    said = score(world, ulimit)
    assert isinstance(said, str)
    assert words in said


def as_ordinary_user() -> tuple[str, ...]:
    """Root is not bound by a limit of processes; it may read the checkout wherever it lies."""
    if os.getuid() != 0:
        pytest.skip("the processes of this user cannot be counted: others may start some")
    capability = "+dac_read_search"
    return (
        "setpriv", f"--reuid={ORDINARY_USER}", f"--regid={ORDINARY_USER}", "--clear-groups",
        f"--inh-caps={capability}", f"--ambient-caps={capability}", "--",
    )  # fmt: skip


def test_fewer_processes_than_cores_are_enough(world: Path, unlimited: object) -> None:
    assert score(world, "-u 8", "--workers", "16", user=as_ordinary_user()) == unlimited


@pytest.mark.parametrize("processes", [1, 3])
def test_without_processes_for_decoders_the_limit_is_named(world: Path, processes: int) -> None:
    said = score(world, f"-u {processes}", user=as_ordinary_user())
    assert isinstance(said, str)
    assert f"processes of this user at most {processes} (ulimit -u)" in said


def remember_phase(world: Path, folder: Path) -> dict[str, str]:
    """The environment of a ``flair`` that has fetched the phase's task before."""
    spec = parse(tomllib.loads((world / "tiny.toml").read_text()), folder=world)
    environment = {"FLAIR_CACHE_DIR": str(folder), "FLAIR_CONFIG_DIR": str(folder)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)

        class Answering:
            account = credentials.Account("http://127.0.0.1:9", None)

            def get(self, url: str) -> dict[str, object]:
                return {"task": spec.to_json()}

        phases.fetch("tiny/test", api=Answering())
    return environment


@pytest.mark.parametrize(
    ("ulimit", "code", "words"),
    [
        ("-v 2097152", 0, '"valid": true'),
        ("-n 64", 0, '"valid": true'),
        ("-f 1024", 0, '"valid": true'),
        ("-v 200000", 2, "is limited to 195 MiB (ulimit -v)"),
        ("-n 8", 2, "open files at most 8 (ulimit -n)"),
    ],
)
def test_flair_check_works_or_names_the_limit(
    world: Path, tmp_path: Path, ulimit: str, code: int, words: str
) -> None:
    environment = remember_phase(world, tmp_path)
    done = run_limited(
        ulimit, sys.executable, "-m", "scoring.client", "check", world / "good.zip", "--phase",
        "tiny/test", "--offline", "--json", "--server", "http://127.0.0.1:9", **environment,
    )  # fmt: skip
    assert done.returncode == code, done
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


SITE_CHILD = """
import json, logging, sys
from pathlib import Path
from scoring.engine.scorer import child
from scoring.engine.task import specification as spec
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
world = Path(sys.argv[1])
verdict = child.run(
    spec=spec.load(str(world / "tiny.toml")), truth_path=world / "truth.pack",
    archive_path=world / "good.zip", evidence_path=Path(sys.argv[2]), timeout_s=60,
    memory_bytes=2 * 2**30,
)
print(type(verdict).__name__, getattr(verdict, "code", ""), getattr(verdict, "detail", ""))
"""


def site_child(world: Path, evidence: Path, ulimit: str) -> subprocess.CompletedProcess[str]:
    """What a scoring worker of the site runs, in a worker under a limit."""
    if not (world / "truth.pack").exists():
        builders.pack_truth(
            world / "truth.pack", builders.task(), builders.masks(builders.task(), count=12)
        )
    return run_limited(ulimit, sys.executable, "-c", SITE_CHILD, world, evidence)


def test_the_sites_scorer_says_which_address_space_it_has(world: Path, tmp_path: Path) -> None:
    done = site_child(world, tmp_path / "evidence", f"-v {1024 * MIB_IN_KIB}")
    assert done.stdout.split()[0] == "Scored", done
    assert "the scorer's address space is at most 1024 MiB" in done.stderr


def test_the_sites_scorer_out_of_memory_names_the_limit(world: Path, tmp_path: Path) -> None:
    done = site_child(world, tmp_path / "evidence", f"-v {250 * MIB_IN_KIB}")
    assert done.stdout.startswith("ScorerFailure scorer-"), done
    assert "address space at most 250 MiB (ulimit -v)" in done.stdout


def test_set_limit_never_raises_a_hard_limit() -> None:
    words = (
        "import resource; from scoring.engine.resource_limits import set_limit;"
        "print(set_limit(resource.RLIMIT_NOFILE, 10**6), set_limit(resource.RLIMIT_NOFILE, 10))"
    )
    done = run_limited("-n 50", sys.executable, "-c", words)
    assert done.stdout.split() == ["50", "10"], done.stderr


def test_ample_limits_are_not_mentioned() -> None:
    words = (
        "from scoring.engine.resource_limits import with_low_limits; print(with_low_limits('x'))"
    )
    said = run_limited("-n 1024", sys.executable, "-c", words).stdout
    assert "ulimit -n" not in said
    assert resource_limits.with_low_limits("x").startswith("x")
