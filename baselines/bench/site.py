"""The site beside a benchmark: a real server and scoring worker, reached over HTTP alone.

Started as the program that it is (`python -m challenge.demo.trial`): nothing of it is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines import submit
from scoring.client.api import Api
from scoring.client.credentials import Account
from scoring.engine.task.specification import SHIPPED, TaskSpec

# The trial has servers and labels of its own, whatever those of this machine are.
NOT_PASSED_ON = ("DATABASE_URL", "REDIS_URL", "STORAGE_URL", "LABELS_DIR", "EVIDENCE_DIR",
                 "UPLOADS_DIR", "EMAIL_URL")  # fmt: skip
STOP_S = 60.0
SCORED_WITHIN_S = 300.0


class SiteError(RuntimeError):
    """The site did not start, or did not score; the message carries its own words."""


@dataclass(frozen=True)
class Site:
    """A running site with one challenge and a token for each team."""

    url: str
    tokens: dict[str, str]
    challenge: str

    @property
    def phase(self) -> str:
        """Name the phase as submissions do."""
        return f"{self.challenge}/test"

    def submit(self, archive: Path, *, team: str, method: str) -> None:
        """Submit a zip as a team and wait for its score. Raises SiteError when it gets none."""
        done = submit.run(
            archive, server=self.url, token=self.tokens[team], phase=self.phase,
            method_name=method, wait_s=SCORED_WITHIN_S,
        )  # fmt: skip
        state = done.get("state") or done.get("status")
        if state != "scored":
            raise SiteError(f"{team}: {state}: {json.dumps(done)[:2000]}")

    def leaderboard(self) -> list[dict[str, Any]]:
        """Read the ranked lines as anybody may."""
        with Api(Account(self.url, "")) as api:
            path = f"challenges/{self.challenge}/phases/test/leaderboard"
            rows: list[dict[str, Any]] = api.get(path)["rows"]
        return rows


@contextmanager
def serve(folder: Path, *, challenge: Path, labels: Path, teams: Sequence[str]) -> Iterator[Site]:
    """Run a site in `folder` for as long as the block lasts. Raises SiteError."""
    environment = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "trial.log"
    with log.open("wb") as log_file:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "challenge.demo.trial", str(challenge)),
                *("--labels", str(labels), "--enrol", *teams),
            ],
            cwd=SHIPPED.parent,
            env=environment | {"FLAIR_DATA_DIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready = process.stdout.readline()
        if not ready:
            process.wait(STOP_S)
            raise SiteError(f"the site did not start: {log.read_text()[-3000:]}")
        about = json.loads(ready)
        yield Site(url=about["url"], tokens=about["tokens"], challenge=challenge.name)
    finally:
        process.stdin.close()  # what it waits for
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def write_challenge(folder: Path, *, spec: TaskSpec) -> Path:
    """Write the folder of a challenge with one open phase: a task's specification and its ids.

    Gives the folder, whose name becomes the challenge's slug and the task's id.
    """
    folder.mkdir(parents=True)
    lines = [
        "[challenge]", f"slug = {_toml(folder.name)}", "published = true",
        f"title = {_toml({'en': 'Learning benchmark', 'fr': 'Banc d’apprentissage'})}", "",
        "[task]", f"id = {_toml(folder.name)}", 'ids_csv = "test-ids.csv"',
    ]  # fmt: skip
    lines += [
        f"{name} = {_toml(getattr(spec, name))}"
        for name in (
            "patch_height_px", "patch_width_px", "unscored_policy", "absent_policy",
            "prediction_pattern", "truth_pattern", "prediction_name",
        )
    ]  # fmt: skip
    for class_spec in spec.classes:
        lines += ["", "[[task.classes]]"]
        lines += [
            f"{name} = {_toml(getattr(class_spec, name))}"
            for name in ("id", "key", "name", "color", "labels", "scored")
        ]
    lines += [
        "", "[[phases]]", 'slug = "test"', f"name = {_toml({'en': 'Test', 'fr': 'Test'})}",
        "published = true", "opens_at = 2024-01-01T00:00:00Z",
        # drawn by chance, nothing to hide: the figures are read in full precision
        "labels_public = true", 'ids_csv = "test-ids.csv"',
    ]  # fmt: skip
    (folder / "pages").mkdir()
    for slug in ("overview", "rules"):  # a published challenge must have them
        title = dict.fromkeys(("en", "fr"), slug)
        lines += ["", "[[pages]]", f"slug = {_toml(slug)}", f"title = {_toml(title)}"]
        for language in title:
            (folder / "pages" / f"{slug}.{language}.md").write_text(f"# {slug}\n")
    (folder / "challenge.toml").write_text("\n".join(lines) + "\n")
    rows = [f"{patch.domain},{patch.zone},{patch.id}" for patch in spec.expected]
    (folder / "test-ids.csv").write_text("\n".join(["domain,zone,patch", *rows]) + "\n")
    return folder


def _toml(value: Any) -> str:
    """Write a value as TOML does: JSON's strings, numbers and truths are TOML's."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
