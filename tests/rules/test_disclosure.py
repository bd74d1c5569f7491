"""Figures about hidden labels: four decimals and no counts while a phase is open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from challenge.rules import disclosure
from challenge.rules.disclosure import NEVER, Viewer
from tests.factories import make_card

OPENS = datetime(2026, 5, 1, tzinfo=UTC)
CLOSES = datetime(2026, 6, 1, tzinfo=UTC)
OPEN = OPENS + timedelta(days=3)
CARD = make_card(0.123456789)


def terms(viewer: Viewer = Viewer.OWNER, detail: str = "full", now: datetime = OPEN) -> Any:
    return disclosure.terms(
        viewer=viewer, detail=detail, opens_at=OPENS, rounded_until=CLOSES, now=now
    )


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    else:
        yield value


@pytest.mark.parametrize("viewer", list(Viewer))
@pytest.mark.parametrize("detail", ["full", "domains", "classes", "miou"])
def test_while_open_no_figure_has_more_than_four_decimals(viewer: Viewer, detail: str) -> None:
    shown = disclosure.disclose(CARD, terms=terms(viewer, detail))
    floats = [leaf for leaf in leaves(shown) if isinstance(leaf, float)]
    assert floats
    assert all(round(value, 4) == value for value in floats)
    assert shown["seconds"] == 2


@pytest.mark.parametrize("viewer", list(Viewer))
def test_while_open_no_count_of_true_pixels_leaves(viewer: Viewer) -> None:
    shown = disclosure.disclose(CARD, terms=terms(viewer))
    assert "1234567" not in json.dumps(shown)
    assert "confusion" not in json.dumps(shown).replace("confusion_rows", "")


@pytest.mark.parametrize("viewer", list(Viewer))
def test_while_open_precision_tells_no_label_of_a_chosen_pixel(viewer: Viewer) -> None:
    """A class predicted on one pixel has a precision of 1 or 0: the label of that pixel."""
    card = make_card(0.5, pixels=100_000)
    few, enough = card["classes"][0], card["classes"][1]
    few |= {"predicted_pixels": 1, "precision": 1.0}
    enough["predicted_pixels"] = 1_000
    shown = disclosure.disclose(card, terms=terms(viewer))["classes"]
    assert (shown[0]["precision"], shown[1]["precision"]) == (None, 0.7123)
    told = disclosure.disclose(card, terms=terms(viewer, now=CLOSES))["classes"]
    assert told[0]["precision"] == 1.0


@pytest.mark.parametrize(
    ("detail", "keys"),
    [
        ("miou", set()),
        ("classes", {"classes", "overall_accuracy", "mean_f1"}),
        ("domains", {"classes", "overall_accuracy", "mean_f1", "domains"}),
        ("full", {"classes", "overall_accuracy", "mean_f1", "domains", "confusion_rows"}),
    ],
)
def test_the_organiser_chooses_the_detail(detail: str, keys: set[str]) -> None:
    asked = {"classes", "overall_accuracy", "mean_f1", "domains", "confusion_rows", "confusion"}
    assert asked & set(disclosure.disclose(CARD, terms=terms(detail=detail))) == keys


def test_organisers_see_every_part_rounded_alike() -> None:
    shown = disclosure.disclose(CARD, terms=terms(Viewer.ORGANISER, "miou"))
    assert shown["miou"] == 0.1235
    assert "confusion_rows" in shown


def test_once_closed_everything_is_said_in_full() -> None:
    shown = disclosure.disclose(CARD, terms=terms(Viewer.READER, "miou", CLOSES))
    assert shown["miou"] == 0.123456789
    assert shown["confusion"] == CARD["confusion"]
    assert shown["classes"][0]["truth_pixels"] == 1234567


def test_a_phase_without_an_end_is_always_open() -> None:
    until = disclosure.rounded_until(
        closes_at=None, labels_open_until=None, precision="labels-closed"
    )
    found = disclosure.terms(
        viewer=Viewer.READER,
        detail="full",
        opens_at=OPENS,
        rounded_until=until,
        now=OPENS + timedelta(days=9999),
    )
    assert (found.decimals, found.counts) == (4, False)


@pytest.mark.parametrize(
    ("closes_at", "others", "precision", "until"),
    [
        (CLOSES, None, "labels-closed", CLOSES),
        (CLOSES, OPEN, "labels-closed", CLOSES),
        (OPEN, CLOSES, "labels-closed", CLOSES),
        (CLOSES, NEVER, "labels-closed", NEVER),
        (CLOSES, NEVER, "phase-closed", CLOSES),
        (None, CLOSES, "labels-closed", NEVER),
        (None, None, "phase-closed", NEVER),
    ],
)
def test_figures_wait_for_every_phase_on_the_labels(
    closes_at: datetime | None, others: datetime | None, precision: str, until: datetime
) -> None:
    found = disclosure.rounded_until(
        closes_at=closes_at, labels_open_until=others, precision=precision
    )
    assert found == until


def test_other_phases_count_by_the_labels_in_common() -> None:
    def until(*others: tuple[set[str], datetime | None]) -> datetime | None:
        return disclosure.labels_open_until({"p1", "p2"}, others=others)

    assert until() is None
    assert until(({"p3"}, None)) is None
    assert until(({"p2", "p3"}, OPEN), ({"p1"}, CLOSES), ({"p3"}, None)) == CLOSES
    assert until(({"p2"}, OPEN), ({"p1"}, None)) == NEVER


def test_what_was_not_measured_stays_nothing() -> None:
    shown = disclosure.disclose(make_card(None), terms=terms())
    assert shown["miou"] is None
    assert shown["miou_interval"] is None
    assert disclosure.figure(float("nan"), terms=terms()) is None


@pytest.mark.parametrize(
    ("visibility", "viewer", "now", "board", "score"),
    [
        ("public", Viewer.READER, OPEN, True, True),
        ("after-close", Viewer.READER, OPEN, False, False),
        ("after-close", Viewer.OWNER, OPEN, False, True),
        ("after-close", Viewer.READER, CLOSES, True, True),
        ("organisers", Viewer.READER, CLOSES, False, False),
        ("organisers", Viewer.OWNER, OPEN, False, False),
        ("organisers", Viewer.ORGANISER, OPEN, True, True),
    ],
)
def test_who_sees_the_board_and_who_a_score(
    visibility: str, viewer: Viewer, now: datetime, board: bool, score: bool
) -> None:
    asked: Any = {
        "visibility": visibility,
        "viewer": viewer,
        "opens_at": OPENS,
        "closes_at": CLOSES,
        "now": now,
    }
    assert disclosure.board_visible(**asked) is board
    assert disclosure.score_visible(**asked) is score
