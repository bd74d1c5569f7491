"""Random rounding: right on average, the same for the same predictions, deaf to one pixel."""

from __future__ import annotations

import pytest

from challenge.rules import rounding
from challenge.rules.rounding import CLASS_STEPS, MIOU_STEPS, PIXELS_PER_STEP, Steps
from tests.factories import STEPS, make_card

KEY = bytes(range(32))


def draws(value: float, *, step: float, n: int) -> list[float]:
    found = [
        rounding.random_rounding(value, step=step, key=KEY, digest=f"{number}", metric="miou")
        for number in range(n)
    ]
    return [one for one in found if one is not None]


def test_a_value_becomes_one_of_the_two_multiples_beside_it_and_is_right_on_average() -> None:
    found = draws(0.6523, step=0.005, n=20_000)
    assert set(found) == {0.65, 0.655}
    assert sum(found) / len(found) == pytest.approx(0.6523, abs=0.0001)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.65, None])
def test_multiples_and_nothing_stay(value: float | None) -> None:
    for digest in "abcdefgh":
        found = rounding.random_rounding(value, step=0.05, key=KEY, digest=digest, metric="x")
        assert found == value


def test_the_same_predictions_always_get_the_same_values() -> None:
    card = make_card(0.123456789)
    first = rounding.rounded_values(card, steps=STEPS, key=KEY)
    assert rounding.rounded_values(card, steps=STEPS, key=KEY) == first
    others = {
        rounding.rounded_values(card, steps=STEPS, key=bytes([n]) * 32)["miou"] for n in range(40)
    }
    assert others == {0.123, 0.124}, "who has not the key cannot compute them"


def test_one_pixel_at_an_edge_shows_in_no_value() -> None:
    """With plain rounding the pixel that brings a value over an edge is read off for certain."""
    pixels = 93_000_000
    step = rounding.steps_for([pixels], scored=[0]).classes[0]
    below, above = 0.3 + step - 0.5 / pixels, 0.3 + step + 0.5 / pixels
    assert round(below / step - 0.5) != round(above / step - 0.5 + 1e-9)
    n = 20_000
    rates = [sum(one > 0.3 + step / 2 for one in draws(v, step=step, n=n)) for v in (below, above)]
    assert abs(rates[0] - rates[1]) <= 1, "the expected number is n / PIXELS_PER_STEP"


@pytest.mark.parametrize("pixels", [8_000_000, 20_000_000, 93_000_000, 900_000_000])
def test_one_pixel_moves_a_probability_by_its_share_of_a_step(pixels: int) -> None:
    counts = [pixels, 900_000_000, 500_000_000]
    steps = rounding.steps_for(counts, scored=[0, 1])
    assert 1 / pixels / steps.classes[0] <= 1 / PIXELS_PER_STEP
    assert 1 / sum(counts) / steps.overall_accuracy <= 1 / PIXELS_PER_STEP
    if rounding.is_protected(counts, scored=[0, 1]):
        assert 2 / (2 * pixels) / steps.miou <= 1 / PIXELS_PER_STEP
    assert steps.miou in MIOU_STEPS
    assert set(steps.classes.values()) <= set(CLASS_STEPS)


def test_the_official_test_sets_get_a_tenth_and_half_a_point() -> None:
    """FLAIR #1: 15,700 patches, true shares of the data paper (building … plowed land, other)."""
    shares = [8.6, 7.34, 14.98, 4.36, 5.98, 2.39, 13.91, 6.91, 3.87, 22.17, 6.95, 2.25, 0.27]
    counts = [int(share / 100 * 15_700 * 512**2) for share in shares]
    steps = rounding.steps_for(counts, scored=range(12))
    assert (steps.miou, steps.interval, steps.overall_accuracy) == (0.001, 0.005, 0.001)
    assert steps.classes == {**dict.fromkeys(range(12), 0.005), 12: 0.05}


def test_labels_too_few_to_hide_show_the_mean_in_the_last_step_alone() -> None:
    counts = [5_000_000, 100_000]
    steps = rounding.steps_for(counts, scored=[0, 1])
    assert (steps.miou, steps.classes) == (MIOU_STEPS[-1], {})
    assert not rounding.is_protected(counts, scored=[0, 1])


def test_steps_survive_their_storage() -> None:
    assert Steps.from_json(STEPS.to_json()) == STEPS


def test_the_interval_holds_the_value() -> None:
    for number in range(200):
        card = make_card(number / 200 + 0.00123)
        found = rounding.rounded_values(card, steps=STEPS, key=KEY)
        assert found["miou"] is not None
        assert found["miou_interval"] is not None
        low, high = found["miou_interval"]
        assert low is not None
        assert high is not None
        assert low <= found["miou"] <= high
