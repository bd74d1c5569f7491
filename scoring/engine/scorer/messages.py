"""What the scorer's process and its caller write to each other: one job, then lines of JSON.

The caller writes a `Job`. The scorer answers with one line a message: which sandbox is in force,
how far it is, and last its verdict. `parse` never raises: a line that is none of these is the
scorer's failure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from scoring.engine import typed_json
from scoring.engine.metrics import card
from scoring.engine.problems.problems import Problem
from scoring.engine.scorer.verdicts import (
    Packed,
    Progress,
    Rejected,
    RejectionDocument,
    Scored,
    ScorerFailure,
    Valid,
    ValidationReport,
)
from scoring.engine.task.documents import TaskDocument
from scoring.engine.truth.split import CountedZones, SplitFile


class SplitDocument(TypedDict):
    """A `SplitFile`."""

    path: str
    commitment: str
    zones: str


class Job(TypedDict):
    """What to pack (with ``out``), to score (with ``truth``) or to check; paths and limits."""

    spec: TaskDocument
    truth: str | None
    upload: str
    evidence: str | None
    out: str | None
    split: SplitDocument | None
    ids: list[str] | None
    workers: int | None
    isolate: bool
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class SandboxReport:
    """In words, the sandbox of the decoder workers and the scorer's address space."""

    text: str


class _ProgressDocument(TypedDict):
    stage: str
    patches_done: int
    patches_total: int


Verdict = Scored | Valid | Packed | Rejected | ScorerFailure
Message = SandboxReport | Progress | Verdict


def split_document(split_file: SplitFile | None) -> SplitDocument | None:
    """What a job says of a split."""
    if split_file is None:
        return None
    return {
        "path": str(split_file.path),
        "commitment": split_file.commitment,
        "zones": split_file.zones.value,
    }


def split_file(document: SplitDocument | None) -> SplitFile | None:
    """The split that a job names."""
    if document is None:
        return None
    zones = CountedZones(document["zones"])
    return SplitFile(Path(document["path"]), document["commitment"], zones)


def encode(message: Message) -> bytes:
    """One line of JSON, its end included."""
    return json.dumps(_to_json(message)).encode() + b"\n"


def parse(line: bytes) -> Message:
    """The message in one line; a `ScorerFailure` if it holds none."""
    try:
        document = json.loads(line)
        if isinstance(document, dict) and len(document) == 1:
            ((kind, value),) = document.items()
            return _from_json(kind, value)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # answered below, like any other line that is no message
    return ScorerFailure("scorer-error", f"a line was not understood: {line[:200]!r}")


def _to_json(message: Message) -> dict[str, object]:
    match message:
        case SandboxReport():
            return {"sandbox": message.text}
        case Progress():
            document: _ProgressDocument = {
                "stage": message.stage,
                "patches_done": message.patches_done,
                "patches_total": message.patches_total,
            }
            return {"progress": document}
        case Scored():
            path = message.evidence_path
            return {
                "scored": {"card": message.card, "evidence": None if path is None else str(path)}
            }
        case Valid():
            return {"valid": message.report}
        case Packed():
            return {"packed": {"patches": message.patches}}
        case Rejected():
            return {"rejected": message.to_json()}
        case ScorerFailure():
            return {"failed": {"code": message.code, "detail": message.detail}}


def _from_json(kind: str, value: object) -> Message:
    """Raises ValueError, KeyError or TypeError for what is no message."""
    match kind:
        case "sandbox":
            return SandboxReport(typed_json.check(value, str))
        case "progress":
            return Progress(**typed_json.check(value, _ProgressDocument))
        case "scored":
            scored = typed_json.check(value, dict[str, object])
            path = scored["evidence"]
            return Scored(card.from_json(scored["card"]), None if path is None else Path(str(path)))
        case "valid":
            return Valid(typed_json.check(value, ValidationReport))
        case "packed":
            return Packed(**typed_json.check(value, dict[str, int]))
        case "rejected":
            rejection = typed_json.check(value, RejectionDocument)
            return Rejected(
                [Problem.from_json(error) for error in rejection["errors"]],
                rejection["more"],
                [Problem.from_json(note) for note in rejection["notes"]],
            )
        case "failed":
            return ScorerFailure(**typed_json.check(value, dict[str, str]))
    raise ValueError(f"unknown kind of message: {kind}")
