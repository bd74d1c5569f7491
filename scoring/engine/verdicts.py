"""What may come out of looking at an upload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoring.engine.problems import Problem


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. Stages: starting, checking, scoring, bootstrapping."""

    stage: str
    patches_done: int = 0
    patches_total: int = 0


@dataclass(frozen=True, slots=True)
class Scored:
    """The score card and where the evidence for it lies."""

    card: Mapping[str, Any]
    evidence_path: Path | None


@dataclass(frozen=True, slots=True)
class Valid:
    """Nothing wrong that could be seen without labels. `report` is the JSON of the findings."""

    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rejected:
    """The upload is at fault: at most twenty problems, and how many more there were."""

    problems: list[Problem]
    more: int = 0
    notes: list[Problem] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """``{"errors": [...], "more": int, "notes": [...]}``."""
        return {
            "errors": [p.to_json() for p in self.problems],
            "more": self.more,
            "notes": [n.to_json() for n in self.notes],
        }


@dataclass(frozen=True, slots=True)
class Broken:
    """We are at fault, or cannot tell. ``detail`` is for logs, never for participants.

    Codes: scorer-killed (by a signal), scorer-out-of-memory, scorer-timeout, scorer-silent (it
    ended or closed its pipe without a verdict), scorer-error, scorer-cancelled,
    isolation-unavailable.
    """

    code: str
    detail: str = ""

    @property
    def is_likely_the_archive(self) -> bool:
        """True where another attempt with the same archive would most likely end the same way."""
        return self.code in ("scorer-out-of-memory", "scorer-timeout", "scorer-error")
