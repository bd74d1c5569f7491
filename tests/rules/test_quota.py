from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from challenge.rules.lifecycle import QuotaMove
from challenge.rules.quota import Line, Reason, Used, add_up, next_day_at, utc_day, view

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
TODAY = NOON.date()
YESTERDAY = TODAY - timedelta(days=1)


def see(used: Used, *, daily: int | None, total: int | None, invalid: int | None = None) -> object:
    return view(used, now=NOON, daily_limit=daily, total_limit=total, invalid_daily_limit=invalid)


def test_quota_days_are_utc_days_in_every_time_zone() -> None:
    paris = timezone(timedelta(hours=2))
    assert utc_day(datetime(2026, 5, 5, 1, 59, tzinfo=paris)) == TODAY
    assert utc_day(datetime(2026, 5, 5, 2, 0, tzinfo=paris)) == TODAY + timedelta(days=1)
    assert next_day_at(NOON) == datetime(2026, 5, 5, tzinfo=UTC)
    with pytest.raises(ValueError, match="naive"):
        utc_day(datetime(2026, 5, 5))  # noqa: DTZ001  (that is the mistake)


def test_a_refund_counts_on_the_day_of_its_reservation() -> None:
    lines = [
        Line(QuotaMove.RESERVED, YESTERDAY),
        Line(QuotaMove.RESERVED, TODAY),
        Line(QuotaMove.REFUNDED, YESTERDAY, Reason.FAILED),
    ]
    assert add_up(lines, today=TODAY) == Used(today=1, total=1, invalid_today=0)


def test_the_smaller_rest_counts() -> None:
    assert see(Used(1, 9, 0), daily=5, total=10).left == 1
    assert see(Used(4, 9, 0), daily=5, total=100).left == 1
    assert see(Used(4, 9, 0), daily=None, total=None).left is None


def test_invalid_archives_have_their_own_limit() -> None:
    seen = see(Used(0, 0, 3), daily=5, total=None, invalid=3)
    assert (seen.left, seen.invalid_left, seen.left_today) == (0, 0, 5)
    assert seen.refills_at == next_day_at(NOON)


def test_nothing_refills_when_nothing_is_left_in_all() -> None:
    assert see(Used(5, 10, 0), daily=5, total=10).refills_at is None
    assert see(Used(5, 9, 0), daily=5, total=10).refills_at == next_day_at(NOON)
    assert see(Used(5, 9, 0), daily=None, total=10).refills_at is None


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([None, *Reason]))))
def test_used_quota_is_never_negative(
    story: list[tuple[bool, Reason | None]],
) -> None:
    lines = []
    for today, refund in story:
        day = TODAY if today else YESTERDAY
        lines.append(Line(QuotaMove.RESERVED, day))
        if refund is not None:
            lines.append(Line(QuotaMove.REFUNDED, day, refund))
    used = add_up(lines, today=TODAY)
    assert used.total == sum(1 for _, refund in story if refund is None)
    assert 0 <= used.today <= used.total
    assert used.invalid_today == sum(
        1 for t, r in story if t and r in (Reason.REJECTED, Reason.CANCELLED)
    )
