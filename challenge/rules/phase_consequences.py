"""What a change of a phase means for those who take part, said before it is saved. Pure.

Codes, not words: the desk words them, and a confirmation is bound to exactly these.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from challenge.rules.disclosure import NEVER, Detail, Precision, Visibility
from challenge.rules.windows import Window, window_at

LIMITS_OF_TEAMS = ("daily_limit", "total_limit", "finals_limit")


class Code(StrEnum):
    """A consequence; its parameters are named in :func:`consequences`."""

    QUEUE_WAITS = "queue-waits"
    CLOSES = "closes"
    REOPENS = "reopens"
    OPENS = "opens"
    STOPS_UNTIL = "stops-until"
    SHORTER_NOTICE = "shorter-notice"
    LONGER = "longer"
    TEAMS_OVER = "teams-over"
    CHOICES_COUNT = "choices-count"
    CHOICES_DO_NOT_COUNT = "choices-do-not-count"
    GRACE_SHORTER = "grace-shorter"
    BOARD_APPEARS = "board-appears"
    BOARD_HIDES = "board-hides"
    DETAIL_WIDENS = "detail-widens"
    DETAIL_NARROWS = "detail-narrows"
    FULL_PRECISION_EARLIER = "full-precision-earlier"
    FREEZE_HIDES = "freeze-hides"
    FREEZE_SHOWS = "freeze-shows"
    OWN_SCORES_HIDE = "own-scores-hide"
    ARCHIVES_GO_EARLIER = "archives-go-earlier"
    PUBLISHED = "published"
    HIDDEN = "hidden"


@dataclass(frozen=True)
class Consequence:
    """One coded fact; ``params`` are plain values (numbers, words)."""

    code: Code
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """What is known of a phase at ``now``.

    ``waiting`` counts the live evaluations without a verdict. ``use`` has for each limit of teams
    what every team with an entry has used: submissions today, in all, chosen ones.
    ``submitted_at`` are the times of the submissions that a present or wanted freeze hides.
    """

    now: datetime
    settled: bool = False
    waiting: int = 0
    use: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    submitted_at: tuple[datetime, ...] = ()
    labels_open_until: datetime | None = None


def consequences(
    phase: Mapping[str, Any], changes: Mapping[str, Any], facts: Facts
) -> list[Consequence]:
    """Return what ``changes`` to ``phase`` (field: value) mean, in a fixed order.

    ``queue-waits`` n; ``stops-until`` at; ``shorter-notice`` hours lost, left; ``longer`` hours
    (None: without end); ``teams-over`` field, n, limit; ``choices-count`` and
    ``choices-do-not-count`` n teams; ``board-appears`` and ``board-hides`` to whom (visibility);
    ``detail-widens`` and ``detail-narrows`` detail; ``freeze-hides`` and ``freeze-shows`` n.
    Fields that do not change mean nothing.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> row = {"opens_at": noon, "closes_at": None, "visibility": "organisers"}
    >>> [str(one.code) for one in consequences(row, {"visibility": "public"}, Facts(noon))]
    ['board-appears']
    """
    after = {**phase, **changes}
    changed = {name for name, value in changes.items() if phase.get(name) != value}
    found: list[Consequence] = []
    for names, of in _RULES:
        if changed & names:
            found += of(phase, after, facts)
    return found


def _window(
    before: Mapping[str, Any], after: Mapping[str, Any], facts: Facts
) -> Iterator[Consequence]:
    now = facts.now
    was = window_at(now, opens_at=before["opens_at"], closes_at=before["closes_at"])
    becomes = window_at(now, opens_at=after["opens_at"], closes_at=after["closes_at"])
    old, new = before["closes_at"] or NEVER, after["closes_at"] or NEVER
    if becomes is Window.CLOSED and was is not Window.CLOSED:
        yield Consequence(Code.CLOSES)
        if facts.waiting:
            yield Consequence(Code.QUEUE_WAITS, {"n": facts.waiting})
    elif was is Window.CLOSED and becomes is Window.OPEN:
        yield Consequence(Code.REOPENS)
    elif was is Window.UPCOMING and becomes is Window.OPEN:
        yield Consequence(Code.OPENS)
    elif was is Window.OPEN and becomes is Window.UPCOMING:
        yield Consequence(Code.STOPS_UNTIL, {"at": after["opens_at"].isoformat()})
    if becomes is Window.CLOSED or was is Window.CLOSED:
        return
    if new < old:
        lost = None if old == NEVER else math.ceil((old - new).total_seconds() / 3600)
        left = math.floor((new - now).total_seconds() / 3600)
        yield Consequence(Code.SHORTER_NOTICE, {"lost": lost, "left": left})
    elif new > old:
        more = None if new == NEVER else math.ceil((new - old).total_seconds() / 3600)
        yield Consequence(Code.LONGER, {"hours": more})


def _limits(
    before: Mapping[str, Any], after: Mapping[str, Any], facts: Facts
) -> Iterator[Consequence]:
    for name in LIMITS_OF_TEAMS:
        limit, former = after.get(name), before.get(name)
        if limit == former or limit is None:
            continue
        over = sum(used > limit for used in facts.use.get(name, ()))
        if over:
            yield Consequence(Code.TEAMS_OVER, {"field": name, "n": over, "limit": limit})
    chosen = sum(used > 0 for used in facts.use.get("finals_limit", ()))
    used_before, used_after = (row.get("finals_limit") is not None for row in (before, after))
    if used_after and not used_before:
        yield Consequence(Code.CHOICES_COUNT, {"n": chosen})
    elif used_before and not used_after:
        yield Consequence(Code.CHOICES_DO_NOT_COUNT, {"n": chosen})


def _grace(
    before: Mapping[str, Any], after: Mapping[str, Any], facts: Facts
) -> Iterator[Consequence]:
    closed = facts.now >= (before["closes_at"] or NEVER)
    if closed and not facts.settled and after["grace_minutes"] < before["grace_minutes"]:
        yield Consequence(Code.GRACE_SHORTER, {"minutes": after["grace_minutes"]})


def _audience(row: Mapping[str, Any], facts: Facts) -> int:
    """Return how many see the board now: 0 organisers, 1 teams their own line, 2 everyone."""
    if row["visibility"] == Visibility.AFTER_CLOSE:
        return 2 if facts.settled else 0
    return {Visibility.PUBLIC.value: 2, Visibility.OWN_TEAM.value: 1}.get(row["visibility"], 0)


def _board(
    before: Mapping[str, Any], after: Mapping[str, Any], facts: Facts
) -> Iterator[Consequence]:
    was, becomes = _audience(before, facts), _audience(after, facts)
    whom = {"visibility": after["visibility"]}
    if becomes > was or (becomes == was == 0 and after["visibility"] == Visibility.AFTER_CLOSE):
        yield Consequence(Code.BOARD_APPEARS, whom)
    elif becomes < was or after["visibility"] == Visibility.ORGANISERS:
        yield Consequence(Code.BOARD_HIDES, whom)


def _detail(
    before: Mapping[str, Any], after: Mapping[str, Any], _facts: Facts
) -> Iterator[Consequence]:
    was, becomes = (Detail[row["detail"].upper()] for row in (before, after))
    code = Code.DETAIL_WIDENS if becomes > was else Code.DETAIL_NARROWS
    yield Consequence(code, {"detail": after["detail"]})


def _precision(
    _before: Mapping[str, Any], after: Mapping[str, Any], facts: Facts
) -> Iterator[Consequence]:
    others, own = facts.labels_open_until, after["closes_at"] or NEVER
    if after["precision"] == Precision.PHASE_CLOSED and others is not None and others > own:
        yield Consequence(Code.FULL_PRECISION_EARLIER)


def _freeze(
    before: Mapping[str, Any], after: Mapping[str, Any], facts: Facts
) -> Iterator[Consequence]:
    was, becomes = (
        sum(row.get("frozen_at") is None or at <= row["frozen_at"] for at in facts.submitted_at)
        for row in (before, after)
    )
    if becomes < was:
        yield Consequence(Code.FREEZE_HIDES, {"n": was - becomes})
    elif becomes > was:
        yield Consequence(Code.FREEZE_SHOWS, {"n": becomes - was})
    hides = [bool(row.get("frozen_at") and row.get("freeze_hides_own")) for row in (before, after)]
    if hides == [False, True]:
        yield Consequence(Code.OWN_SCORES_HIDE)


def _archives(
    before: Mapping[str, Any], after: Mapping[str, Any], _facts: Facts
) -> Iterator[Consequence]:
    if after["archives_kept_days"] < before["archives_kept_days"]:
        yield Consequence(Code.ARCHIVES_GO_EARLIER, {"days": after["archives_kept_days"]})


def _published(
    _before: Mapping[str, Any], after: Mapping[str, Any], _facts: Facts
) -> Iterator[Consequence]:
    yield Consequence(Code.PUBLISHED if after["is_published"] else Code.HIDDEN)


_RULES = (
    ({"is_published"}, _published),
    ({"opens_at", "closes_at"}, _window),
    (set(LIMITS_OF_TEAMS), _limits),
    ({"grace_minutes"}, _grace),
    ({"visibility"}, _board),
    ({"detail"}, _detail),
    ({"precision"}, _precision),
    ({"frozen_at", "freeze_hides_own"}, _freeze),
    ({"archives_kept_days"}, _archives),
)
