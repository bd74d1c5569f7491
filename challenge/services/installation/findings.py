"""What a check of an installation finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """What was found of one part; ``advice`` says what to do, "" where nothing is."""

    part: str
    level: Level
    found: str
    advice: str = ""


def ok(part: str, found: str) -> Finding:
    return Finding(part, Level.OK, found)


def warning(part: str, found: str, advice: str) -> Finding:
    return Finding(part, Level.WARNING, found, advice)


def error(part: str, found: str, advice: str) -> Finding:
    return Finding(part, Level.ERROR, found, advice)
