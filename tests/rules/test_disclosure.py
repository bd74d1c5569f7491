"""Values about hidden labels: in steps, without domains, matrix and counts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from challenge.rules import disclosure
from challenge.rules.disclosure import NEVER, DisclosurePolicy, Viewer
from challenge.rules.rounding import rounded_values, steps_for
from tests.factories import STEPS, make_card

OPENS = datetime(2026, 5, 1, tzinfo=UTC)
CLOSES = datetime(2026, 6, 1, tzinfo=UTC)
OPEN = OPENS + timedelta(days=3)
CARD = make_card(0.123456789)
KEY = bytes(32)


def policy(
    viewer: Viewer = Viewer.OWNER, detail: str = "full", now: datetime = OPEN, **more: Any
) -> DisclosurePolicy:
    return disclosure.policy_for(
        viewer=viewer,
        detail=detail,
        opens_at=OPENS,
        rounded_until=CLOSES,
        now=now,
        **{"miou_step": STEPS.miou, **more},
    )


def disclose(card: Any, policy: DisclosurePolicy) -> Any:
    """The card as it leaves, with its values rounded as when the score was stored."""
    return disclosure.disclose(card, rounded_values(card, steps=STEPS, key=KEY), policy=policy)


def is_multiple(value: float, step: float) -> bool:
    return abs(value / step - round(value / step)) < 1e-6


@pytest.mark.parametrize("viewer", list(Viewer))
@pytest.mark.parametrize("detail", ["full", "domains", "classes", "miou"])
def test_of_hidden_labels_values_leave_in_steps_alone(viewer: Viewer, detail: str) -> None:
    shown = disclose(CARD, policy(viewer, detail))
    assert is_multiple(shown["miou"], STEPS.miou)
    assert all(is_multiple(end, STEPS.interval) for end in shown["miou_interval"])
    for line in shown.get("classes", []):
        for metric in ("iou", "recall"):
            assert line[metric] is None or is_multiple(line[metric], STEPS.classes[line["id"]])
    assert (shown["decimals"], shown["miou_step"], shown["seconds"]) == (3, STEPS.miou, 2)


@pytest.mark.parametrize("viewer", list(Viewer))
@pytest.mark.parametrize("detail", ["full", "domains", "classes", "miou"])
def test_of_hidden_labels_no_domain_matrix_or_count_leaves(viewer: Viewer, detail: str) -> None:
    shown = disclose(CARD, policy(viewer, detail))
    assert not {"domains", "confusion", "confusion_rows"} & set(shown)
    assert "1234567" not in json.dumps(shown)
    assert "D001" not in json.dumps(shown)


@pytest.mark.parametrize("viewer", list(Viewer))
def test_of_hidden_labels_no_ratio_leaves_whose_denominator_was_chosen(viewer: Viewer) -> None:
    """A class predicted on one pixel has a precision of 1 or 0: the label of that pixel."""
    for line in disclose(CARD, policy(viewer, "classes"))["classes"]:
        assert line["precision"] is None
        assert line["f1"] is None or line["f1"] == round(2 * line["iou"] / (1 + line["iou"]), 4)
    told = disclose(CARD, policy(viewer, now=CLOSES))["classes"]
    assert told[0]["precision"] == 0.712345678


def test_classes_too_small_are_suppressed_whatever_was_submitted() -> None:
    steps = steps_for([9_000_000_000, 7_000_000, 0], scored=[0, 1])
    for miou in (0.0, 0.3, 1.0):
        card = make_card(miou)
        shown = disclosure.disclose(
            card, rounded_values(card, steps=steps, key=KEY), policy=policy(detail="classes")
        )
        hidden = [line["id"] for line in shown["classes"] if line["iou"] is None]
        assert hidden == [1, 2]
        assert [line["recall"] for line in shown["classes"]][1:] == [None, None]
        assert shown["mean_f1"] is None, "it would tell the suppressed class by subtraction"


def test_without_rounded_values_no_metric_of_hidden_labels_leaves() -> None:
    shown = disclosure.disclose(CARD, {}, policy=policy(detail="classes"))
    values = [shown["miou"], shown["miou_interval"], shown["overall_accuracy"]]
    values += [line[metric] for line in shown["classes"] for metric in ("iou", "recall", "f1")]
    assert set(values) == {None}


ALL = {"classes", "overall_accuracy", "mean_f1", "domains", "confusion_rows", "confusion"}


@pytest.mark.parametrize(
    ("detail", "public", "hidden"),
    [
        ("miou", set(), set()),
        ("classes", {"classes", "overall_accuracy", "mean_f1"}, None),
        ("domains", {"classes", "overall_accuracy", "mean_f1", "domains"}, None),
        ("full", ALL, None),
    ],
)
def test_the_organiser_chooses_the_detail_as_far_as_labels_are_public(
    detail: str, public: set[str], hidden: set[str] | None
) -> None:
    if hidden is None:
        hidden = {"classes", "overall_accuracy", "mean_f1"}
    assert ALL & set(disclose(CARD, policy(detail=detail, labels_public=True))) == public
    assert ALL & set(disclose(CARD, policy(detail=detail))) == hidden


def test_organisers_see_classes_rounded_alike() -> None:
    shown = disclose(CARD, policy(Viewer.ORGANISER, "miou"))
    assert shown["miou"] == disclose(CARD, policy(Viewer.OWNER, "miou"))["miou"]
    assert shown["classes"]


def test_public_labels_leave_in_full_precision_while_open() -> None:
    shown = disclose(CARD, policy(labels_public=True))
    assert shown["miou"] == 0.123456789
    assert shown["classes"][0]["truth_pixels"] == 1234567
    assert shown["domains"]["D001_2020"]["miou"] == 0.123456789


def test_after_the_close_values_are_in_full_precision() -> None:
    shown = disclose(CARD, policy(Viewer.READER, "miou", CLOSES))
    assert shown["miou"] == 0.123456789
    assert shown["confusion"] == CARD["confusion"]
    assert shown["classes"][0]["truth_pixels"] == 1234567


def test_a_phase_without_an_end_is_always_open() -> None:
    until = disclosure.rounded_until(
        closes_at=None, labels_open_until=None, precision="labels-closed"
    )
    found = disclosure.policy_for(
        viewer=Viewer.READER,
        detail="full",
        opens_at=OPENS,
        rounded_until=until,
        now=OPENS + timedelta(days=9999),
    )
    assert (found.rounded, found.counts) == (True, False)


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
def test_full_precision_waits_for_every_phase_on_the_labels(
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
    shown = disclose(make_card(None), policy())
    assert shown["miou"] is None
    assert shown["miou_interval"] is None
    assert disclosure.disclose_miou(float("nan"), None, policy=policy(now=CLOSES)) is None


@pytest.mark.parametrize(
    ("visibility", "viewer", "settled", "board", "score"),
    [
        ("public", Viewer.READER, False, True, True),
        ("after-close", Viewer.READER, False, False, False),
        ("after-close", Viewer.OWNER, False, False, True),
        ("after-close", Viewer.READER, True, True, True),
        ("own-team", Viewer.READER, True, False, False),
        ("own-team", Viewer.OWNER, False, False, True),
        ("own-team", Viewer.ORGANISER, False, True, True),
        ("organisers", Viewer.READER, True, False, False),
        ("organisers", Viewer.OWNER, False, False, False),
        ("organisers", Viewer.ORGANISER, False, True, True),
    ],
)
def test_who_sees_the_board_and_who_a_score(
    visibility: str, viewer: Viewer, settled: bool, board: bool, score: bool
) -> None:
    asked: Any = {"visibility": visibility, "viewer": viewer, "settled": settled}
    assert disclosure.leaderboard_visible(**asked) is board
    assert disclosure.score_visible(**asked) is score
    hidden = disclosure.score_visible(**asked, behind_freeze=True)
    assert hidden is (score and viewer is Viewer.ORGANISER)


@pytest.mark.parametrize(
    ("images_public", "labels_public", "score_visible", "detail", "now", "shown"),
    [
        (False, True, True, "full", OPEN, "none"),
        (False, False, True, "full", CLOSES, "none"),
        (True, True, True, "full", OPEN, "labels"),
        (True, True, True, "classes", CLOSES, "labels"),
        (True, True, True, "miou", OPEN, "predictions"),
        (True, True, False, "full", OPEN, "predictions"),
        (True, False, True, "full", OPEN, "predictions"),
        (True, False, True, "full", CLOSES, "predictions"),
        (True, False, False, "full", CLOSES, "predictions"),
    ],
)
@pytest.mark.parametrize("viewer", list(Viewer))
def test_pictures_show_labels_where_they_are_public_and_of_hidden_ones_nothing(
    viewer: Viewer, images_public: bool, labels_public: bool, score_visible: bool,
    detail: str, now: datetime, shown: str,
) -> None:  # fmt: skip
    if viewer is Viewer.ORGANISER and labels_public and score_visible and images_public:
        shown = "labels"  # public labels leave in full to organisers, whatever the detail
    found = disclosure.pictures_shown(
        policy(viewer, detail, now, labels_public=labels_public),
        images_public=images_public,
        labels_public=labels_public,
        score_visible=score_visible,
    )
    assert found == shown
