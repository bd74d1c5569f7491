"""What the scorer returns about an upload: scored, valid, packed, rejected, or its own failure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from scoring.engine.metrics.card import ScoreCard
from scoring.engine.problems.problems import Problem, ProblemDocument

# The exit status of a scorer that has no memory left to write its verdict.
EXIT_OUT_OF_MEMORY = 75


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. Stages: starting, checking, scoring, bootstrapping, packing."""

    stage: str
    patches_done: int = 0
    patches_total: int = 0


@dataclass(frozen=True, slots=True)
class Scored:
    """The score card and where the evidence for it lies."""

    card: ScoreCard
    evidence_path: Path | None


class ValidationReport(TypedDict):
    """What a check without labels says of a valid upload."""

    spec: str
    patches: int
    content_digest: str
    predicted_frequencies: list[float]
    notes: list[ProblemDocument]


class RejectionDocument(TypedDict):
    """`Rejected` in JSON; ``more`` counts the problems that are not listed."""

    errors: list[ProblemDocument]
    more: int
    notes: list[ProblemDocument]


@dataclass(frozen=True, slots=True)
class Valid:
    """Nothing wrong that could be seen without labels."""

    report: ValidationReport


@dataclass(frozen=True, slots=True)
class Packed:
    """The masks of an archive are in the packed file that was asked for."""

    patches: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The upload is at fault: at most twenty problems, and how many more there were."""

    problems: list[Problem]
    more: int = 0
    notes: list[Problem] = field(default_factory=list)

    def to_json(self) -> RejectionDocument:
        """The problems and notes as JSON."""
        return {
            "errors": [p.to_json() for p in self.problems],
            "more": self.more,
            "notes": [n.to_json() for n in self.notes],
        }


@dataclass(frozen=True, slots=True)
class ScorerFailure:
    """The scorer failed; it is not known to be the participant's fault.

    ``detail`` is for logs, never for participants.

    Codes: scorer-killed (by a signal), scorer-out-of-memory, scorer-timeout, scorer-silent (it
    ended or closed its pipe without a verdict), scorer-error, scorer-cancelled, scorer-storage (a
    folder of this machine is full, read-only or closed to it), isolation-unavailable.
    """

    code: str
    detail: str = ""

    @property
    def is_this_machine(self) -> bool:
        """True where the machine lacks something: the same archive may be scored elsewhere."""
        return self.code in ("scorer-storage", "isolation-unavailable")

    @property
    def is_likely_the_archive(self) -> bool:
        """True where another attempt with the same archive would most likely end the same way."""
        return self.code in ("scorer-out-of-memory", "scorer-timeout", "scorer-error")
