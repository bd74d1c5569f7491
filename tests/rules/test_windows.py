from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from challenge.rules.windows import Window, is_open, window_at

OPENS = datetime(2026, 5, 1, tzinfo=UTC)
CLOSES = datetime(2026, 6, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("now", "where"),
    [
        (OPENS - TICK, Window.UPCOMING),
        (OPENS, Window.OPEN),
        (CLOSES - TICK, Window.OPEN),
        (CLOSES, Window.CLOSED),
        (CLOSES + timedelta(days=900), Window.CLOSED),
    ],
)
def test_the_window_is_half_open(now: datetime, where: Window) -> None:
    assert window_at(now, opens_at=OPENS, closes_at=CLOSES) is where
    assert is_open(now, opens_at=OPENS, closes_at=CLOSES) == (where is Window.OPEN)


def test_without_an_end_it_never_closes() -> None:
    assert window_at(OPENS + timedelta(days=9999), opens_at=OPENS, closes_at=None) is Window.OPEN
