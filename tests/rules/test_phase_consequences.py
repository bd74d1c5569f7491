"""What a change of a phase means, and times on a challenge's own clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from challenge.rules import zone_times
from challenge.rules.disclosure import NEVER
from challenge.rules.phase_consequences import Code, Consequence, Facts, consequences

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)
OPEN: dict[str, Any] = {
    "opens_at": NOON - DAY,
    "closes_at": NOON + 10 * DAY,
    "daily_limit": None,
    "total_limit": None,
    "finals_limit": None,
    "grace_minutes": 60,
    "visibility": "after-close",
    "detail": "classes",
    "precision": "labels-closed",
    "is_published": True,
    "frozen_at": None,
    "freeze_hides_own": False,
    "archives_kept_days": 90,
}
FACTS = Facts(
    NOON,
    waiting=3,
    use={"daily_limit": (0, 2, 5), "total_limit": (1, 4, 9), "finals_limit": (0, 1, 2)},
    submitted_at=(NOON - DAY / 2, NOON - DAY / 4),
    labels_open_until=NEVER,
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"closes_at": NOON}, [("closes", {}), ("queue-waits", {"n": 3})]),
        ({"closes_at": NOON + 2 * DAY}, [("shorter-notice", {"lost": 192, "left": 48})]),
        ({"closes_at": NOON + 11 * DAY}, [("longer", {"hours": 24})]),
        ({"closes_at": None}, [("longer", {"hours": None})]),
        ({"opens_at": NOON + DAY}, [("stops-until", {"at": (NOON + DAY).isoformat()})]),
        ({"daily_limit": 2}, [("teams-over", {"field": "daily_limit", "n": 1, "limit": 2})]),
        ({"total_limit": 3}, [("teams-over", {"field": "total_limit", "n": 2, "limit": 3})]),
        ({"total_limit": 9}, []),
        (
            {"finals_limit": 1},
            [
                ("teams-over", {"field": "finals_limit", "n": 1, "limit": 1}),
                ("choices-count", {"n": 2}),
            ],
        ),
        ({"visibility": "public"}, [("board-appears", {"visibility": "public"})]),
        ({"visibility": "own-team"}, [("board-appears", {"visibility": "own-team"})]),
        ({"visibility": "organisers"}, [("board-hides", {"visibility": "organisers"})]),
        ({"detail": "full"}, [("detail-widens", {"detail": "full"})]),
        ({"detail": "miou"}, [("detail-narrows", {"detail": "miou"})]),
        ({"precision": "phase-closed"}, [("full-precision-earlier", {})]),
        ({"frozen_at": NOON - DAY / 3}, [("freeze-hides", {"n": 1})]),
        (
            {"frozen_at": NOON, "freeze_hides_own": True},
            [("own-scores-hide", {})],
        ),
        ({"archives_kept_days": 30}, [("archives-go-earlier", {"days": 30})]),
        ({"is_published": False}, [("hidden", {})]),
        ({"detail": "classes", "closes_at": NOON + 10 * DAY}, []),
    ],
)
def test_a_change_says_what_it_means(
    changes: dict[str, Any], said: list[tuple[str, dict[str, Any]]]
) -> None:
    expected = [Consequence(Code(code), params) for code, params in said]
    assert consequences(OPEN, changes, FACTS) == expected


def test_an_earlier_settlement_and_a_lifted_freeze_are_said() -> None:
    closed = OPEN | {"closes_at": NOON - timedelta(hours=1), "frozen_at": NOON - DAY / 3}
    [shorter] = consequences(closed, {"grace_minutes": 5}, FACTS)
    assert shorter.code is Code.GRACE_SHORTER
    [lifted] = consequences(closed, {"frozen_at": None}, FACTS)
    assert lifted == Consequence(Code.FREEZE_SHOWS, {"n": 1})
    assert Consequence(Code.REOPENS) in consequences(closed, {"closes_at": None}, FACTS)


moments = st.one_of(
    st.none(),
    st.datetimes(
        datetime.fromisoformat("2026-01-01T00:00"),
        datetime.fromisoformat("2026-12-31T00:00"),
        timezones=st.just(UTC),
    ),
)


@given(
    now=moments.filter(lambda at: at is not None),
    opens_at=moments.filter(lambda at: at is not None),
    closes_at=moments,
    later=moments,
    waiting=st.integers(0, 3),
)
def test_moving_the_close_is_never_silent(
    now: datetime,
    opens_at: datetime,
    closes_at: datetime | None,
    later: datetime | None,
    waiting: int,
) -> None:
    """At any clock: who takes part or waits is told; no change, no words."""
    assume(all(at is None or at > opens_at for at in (closes_at, later)))  # as the tables demand
    before = OPEN | {"opens_at": opens_at, "closes_at": closes_at}
    facts = Facts(now, waiting=waiting)
    said = consequences(before, {"closes_at": later}, facts)
    codes = [one.code for one in said]
    is_past = [at is not None and at <= now for at in (closes_at, later)]
    if closes_at == later or is_past == [True, True]:
        assert codes == []
    elif is_past == [False, True] and opens_at <= now:
        assert codes == [Code.CLOSES, *([Code.QUEUE_WAITS] if waiting else [])]
    elif is_past == [False, False]:
        sooner = closes_at is None or (later is not None and later < closes_at)
        assert codes == [Code.SHORTER_NOTICE if sooner else Code.LONGER]
    assert consequences(before, {}, facts) == []


PARIS = ZoneInfo("Europe/Paris")


def test_both_days_of_changing_clocks_in_paris() -> None:
    skipped = datetime.fromisoformat("2026-03-29T02:30")
    assert zone_times.moments(skipped, zone=PARIS) == []
    assert zone_times.choices(skipped, zone=PARIS) == [
        datetime(2026, 3, 29, 0, 30, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
    ]
    twice = datetime.fromisoformat("2026-10-25T02:30")
    assert zone_times.moments(twice, zone=PARIS) == [
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
    ]
    for plain in (
        datetime.fromisoformat("2026-03-29T03:00"),
        datetime.fromisoformat("2026-10-25T03:00"),
        datetime.fromisoformat("2026-03-29T01:59"),
    ):
        assert len(zone_times.moments(plain, zone=PARIS)) == 1


@given(
    st.datetimes(
        datetime.fromisoformat("1990-01-01T00:00"),
        datetime.fromisoformat("2037-12-31T00:00"),
        timezones=st.just(UTC),
    ),
    st.sampled_from(sorted(zone_times.NAMES)),
)
def test_every_moment_is_found_by_what_its_clocks_show(at: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    clock = at.astimezone(zone).replace(tzinfo=None)
    found = zone_times.moments(clock, zone=zone)
    assert at in found
    assert len(found) in (1, 2)
    assert zone_times.choices(clock, zone=zone) == found
