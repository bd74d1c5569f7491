"""The types of a task specification in JSON, as stored with evidence and in the site's database."""

from __future__ import annotations

from typing import TypedDict


class ClassDocument(TypedDict):
    """`specification.ClassSpec` in JSON; ``name`` by language."""

    id: int
    key: str
    name: dict[str, str]
    color: str
    labels: list[int]
    scored: bool


class LimitsDocument(TypedDict):
    """`specification.Limits` in JSON."""

    member_bytes: int
    archive_bytes: int


class OtherChallengeDocument(TypedDict):
    """`specification.OtherChallenge` in JSON; ranges are [first id, last id]."""

    name: str
    id_ranges: list[list[str]]


class TaskDocument(TypedDict):
    """`specification.TaskSpec` in JSON; ``expected`` are rows of [domain, zone, id]."""

    id: str
    patch_height_px: int
    patch_width_px: int
    label_offset: int
    unscored_policy: str
    absent_policy: str
    prediction_pattern: str
    truth_pattern: str
    prediction_name: str
    limits: LimitsDocument
    classes: list[ClassDocument]
    elsewhere: list[OtherChallengeDocument]
    expected: list[list[str]]
