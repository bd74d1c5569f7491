"""The attacks of `tests.bench.label_attack`, small: they work without the rounding, not with it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench import label_attack
from tests.bench.label_attack import ALLOWED_GAIN, Labels

SUBMISSIONS = 60


@pytest.fixture(scope="module")
def small() -> Labels:
    """One patch, all there is."""
    return label_attack.make_labels(np.random.default_rng(1), attacked=1, patches=1)


@pytest.fixture(scope="module")
def large(small: Labels) -> Labels:
    """The same patch within a test set of FLAIR #1's size."""
    rest = label_attack.make_labels(np.random.default_rng(1), attacked=1).rest
    return Labels(small.blocks, rest)


def test_four_decimals_with_the_matrix_give_the_labels_of_a_small_phase_away(
    small: Labels,
) -> None:
    told = label_attack.in_decimals(full=True)
    learnt = label_attack.reconstruct(small, told, submissions=SUBMISSIONS, seed=1)
    assert learnt.majorities > 0.9


def test_steps_teach_no_more_than_the_best_constant_and_three_points(large: Labels) -> None:
    told = label_attack.in_steps(label_attack.steps_of(large))
    learnt = label_attack.reconstruct(large, told, submissions=SUBMISSIONS, seed=1)
    known = label_attack.best_constant(large)
    assert learnt.majorities <= known.majorities + ALLOWED_GAIN


def test_plain_steps_tell_single_pixels_and_random_rounding_does_not() -> None:
    step = max(rounding_steps())
    plain = label_attack.single_pixels(step, random_rounding=False, submissions=SUBMISSIONS)
    random = label_attack.single_pixels(step, random_rounding=True, submissions=SUBMISSIONS)
    assert plain > 0.9
    assert 0.4 < random < 0.6


def rounding_steps() -> list[float]:
    counts = label_attack.SHARE * label_attack.PATCHES * label_attack.PATCH_PIXELS
    steps = label_attack.rounding.steps_for(
        counts.astype(np.int64).tolist(), scored=range(label_attack.SCORED)
    )
    return [steps.classes[index] for index in range(label_attack.SCORED)]
