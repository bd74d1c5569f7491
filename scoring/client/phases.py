"""A phase's task and list of patches, fetched once and kept, so that checks work offline."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from scoring.client import credentials
from scoring.client.api import Api
from scoring.client.errors import CommandError
from scoring.engine.task.specification import Patch, TaskSpec, from_json

PHASE = re.compile(r"[-a-zA-Z0-9_]+/[-a-zA-Z0-9_]+", re.ASCII)
WINDOW_CODES = {"open": "phase-open", "upcoming": "phase-upcoming", "closed": "phase-closed"}


@dataclass(frozen=True)
class PhaseTask:
    """What is to be predicted in a phase: the task and the patches that are expected.

    ``archive_limit_bytes`` is the phase's limit of the file; None where an older server or a task
    kept for offline use says none.
    """

    phase: str
    spec: TaskSpec
    archive_limit_bytes: int | None = None

    @property
    def patches(self) -> tuple[Patch, ...]:
        """The patches that are expected, each once."""
        return self.spec.expected


def take_apart(phase: str) -> tuple[str, str]:
    """``flair-1/test`` as its two slugs. Raises ``CommandError``."""
    if not PHASE.fullmatch(phase):
        raise CommandError("phase-form", phase=phase)
    challenge, _slash, slug = phase.partition("/")
    return challenge, slug


def address(phase: str) -> str:
    """The phase's address below ``/api/v1/``."""
    challenge, slug = take_apart(phase)
    return f"challenges/{challenge}/phases/{slug}"


def window_code(phase: dict[str, Any]) -> str:
    """The text that says whether a phase, as the API lists it, takes submissions now."""
    if phase["window"] == "open" and not phase["takes_submissions"]:
        return "phase-not-ready"
    return WINDOW_CODES.get(phase["window"], "phase-not-ready")


def fetch(phase: str, *, api: Api, offline: bool = False) -> PhaseTask:
    """The phase's task; from the disk when ``offline``. Raises ``CommandError``."""
    url = f"{address(phase)}/task"
    digest = hashlib.sha256(f"{api.account.server}\n{phase}".encode()).hexdigest()[:32]
    path = credentials.cache_folder() / "phases" / f"{digest}.json"
    if offline:
        try:
            return _read(phase, json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CommandError(
                "phase-not-fetched", phase=phase, server=api.account.server
            ) from error
    answer = api.get(url)
    task = _read(phase, answer)
    with suppress(OSError):  # a home that cannot be written: then --offline has nothing, no more
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(json.dumps(answer), encoding="utf-8")
    return task


def _read(phase: str, answer: dict[str, Any]) -> PhaseTask:
    return PhaseTask(
        phase=phase,
        spec=from_json(answer["task"]),
        archive_limit_bytes=answer.get("archive_limit_bytes"),
    )
