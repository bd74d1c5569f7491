"""What 200 submissions teach about hidden labels, under the old disclosure and under the present.

``python -m tests.bench.label_attack [--quick]`` (part of ``make bench``). The attacker keeps the
predictions of all patches but a few fixed and gives each 64 x 64 block of the few a class of his
choice in each submission. What is disclosed tells him, up to its rounding, how many pixels of each
class lie in the blocks to which he gave that class; all submissions together are a linear system
in the blocks' class shares, solved by least squares on the simplex with a total-variation and a
quadratic prior. He is given more than he has in truth: all class totals, the classes' shares, and
the best of several priors and plans, chosen with the labels in hand.

Other attacks: one class everywhere (class totals), one class in one patch (is it there?), and
single pixels at the edge of a rounding, found by bisection with pixels whose label he is said to
know.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from challenge.rules import rounding
from challenge.rules.rounding import Steps
from tests.bench.label_solver import solve

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SUBMISSIONS = 200
PATCHES = 15_700  # of FLAIR #1's test
PATCH_PIXELS = 512 * 512
GRID = 8  # blocks along a patch
BLOCK_PIXELS = PATCH_PIXELS // GRID**2
# True shares of FLAIR #1's test in per cent: building … plowed land (arXiv 2211.12979), other.
SHARES = (8.6, 7.34, 14.98, 4.36, 5.98, 2.39, 13.91, 6.91, 3.87, 22.17, 6.95, 2.25, 0.29)
SHARE = np.array(SHARES) / sum(SHARES)
N = len(SHARES)
SCORED = N - 1
KEY = bytes(range(32))
ALLOWED_GAIN = 0.03  # of block majorities, above the best constant


@dataclass(frozen=True)
class Labels:
    """``blocks`` int64[blocks, N]: true pixels by class of the attacked blocks, patch by patch.

    ``rest`` int64[N, N] is the matrix of all other patches (truth in rows), which stays.
    """

    blocks: Ints
    rest: Ints

    @property
    def totals(self) -> Ints:
        """int64[N]: true pixels of every class in all patches."""
        return self.rest.sum(axis=1) + self.blocks.sum(axis=0)


@dataclass(frozen=True)
class Told:
    """What the attacker reads off one kind of disclosure.

    ``pixels`` float64[submissions, N]: for each class c the true pixels of c among those predicted
    as c, with the standard error ``errors`` float64[N] of the rounding (NaN: not told); ``mious``
    float64[submissions] or None with ``miou_error``. ``matrices`` float64[submissions, N, N] and
    ``matrix_errors`` float64[N] (rows) where a matrix is told.
    """

    pixels: Floats
    errors: Floats
    mious: Floats | None = None
    miou_error: float = np.inf
    matrices: Floats | None = None
    matrix_errors: Floats | None = None


@dataclass(frozen=True)
class Learnt:
    """``majorities``: share of blocks whose most frequent class is told right; mIoU of the map."""

    majorities: float
    miou: float


def make_labels(random: np.random.Generator, *, attacked: int, patches: int = PATCHES) -> Labels:
    """Return labels of land-cover-like smoothness: argmax of smoothed fields of 8-pixel cells."""
    cells = GRID * 8
    fields = random.normal(size=(attacked, N, cells, cells))
    for axis in (2, 3):
        spectrum = np.fft.rfft(fields, axis=axis)
        frequency = np.fft.rfftfreq(cells)
        shape = [1, 1, 1, 1]
        shape[axis] = len(frequency)
        spectrum *= np.exp(-2 * (np.pi * frequency * 9) ** 2).reshape(shape)
        fields = np.fft.irfft(spectrum, n=cells, axis=axis)
    fields /= fields.std(axis=(2, 3), keepdims=True)
    fields += 1.1 * random.normal(size=(attacked, N, 1, 1))
    bias = np.zeros(N)
    for _ in range(60):  # until the classes have their shares
        found = np.bincount((fields + bias[:, None, None]).argmax(axis=1).ravel(), minlength=N)
        bias += 0.3 * np.log((SHARE + 1e-4) / (found / found.sum() + 1e-4))
    cover = (fields + bias[:, None, None]).argmax(axis=1)
    in_blocks = cover.reshape(attacked, GRID, 8, GRID, 8).transpose(0, 1, 3, 2, 4)
    counted = np.stack(
        [(in_blocks == index).sum(axis=(3, 4)).ravel() for index in range(N)], axis=1
    )
    rest = SHARE * (patches - attacked) * PATCH_PIXELS
    hit = np.linspace(0.85, 0.45, N)
    matrix = np.diag(rest * hit) + np.outer(rest * (1 - hit), SHARE)
    return Labels(counted.astype(np.int64) * 64, matrix.astype(np.int64))


def matrices_of(labels: Labels, plan: Ints) -> Ints:
    """int64[submissions, N, N] of predictions ``plan`` int64[submissions, blocks]."""
    found = np.repeat(labels.rest[None], len(plan), axis=0)
    for index in range(N):
        found[:, :, index] += (plan == index).astype(np.int64) @ labels.blocks
    return found


def ratios(matrix: Ints) -> dict[str, Floats]:
    """IoU and recall float64[N] and the mIoU of one matrix, NaN where undefined."""
    hit, truth, predicted = np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore"):
        iou, recall = hit / (truth + predicted - hit), hit / truth
    return {"iou": iou, "recall": recall, "miou": np.nanmean(iou[:SCORED])}


def card_of(matrix: Ints, *, digest: str) -> dict[str, object]:
    """The parts of a score card that are rounded."""
    found = ratios(matrix)
    return {
        "content_digest": digest,
        "miou": float(found["miou"]),
        "overall_accuracy": float(np.trace(matrix) / matrix.sum()),
        "intervals": None,
        "classes": [
            {
                "id": index,
                "key": str(index),
                "iou": float(found["iou"][index]),
                "recall": float(found["recall"][index]),
                "scored": index < SCORED,
            }
            for index in range(N)
        ],
    }


def told_by_decimals(labels: Labels, plan: Ints, *, decimals: int, full: bool) -> Told:
    """The old disclosure: everything rounded to so many decimals; ``full`` with the matrix."""
    matrices, totals = matrices_of(labels, plan), labels.totals
    unit = 10.0**-decimals
    found = [ratios(matrix) for matrix in matrices]
    recall = np.array([np.round(one["recall"], decimals) for one in found])
    rows = np.round(matrices / np.maximum(totals, 1)[None, :, None], decimals) if full else None
    return Told(
        pixels=recall * totals,
        errors=unit / np.sqrt(12) * totals + 1.0,
        mious=np.array([np.round(one["miou"], decimals) for one in found]),
        miou_error=unit / np.sqrt(12),
        matrices=None if rows is None else rows * totals[None, :, None],
        matrix_errors=None if rows is None else unit / np.sqrt(12) * totals + 1.0,
    )


def told_in_steps(labels: Labels, plan: Ints, *, steps: Steps) -> Told:
    """The present disclosure, through the site's own function."""
    totals = labels.totals
    pixels = np.full((len(plan), N), np.nan)
    mious = np.zeros(len(plan))
    errors = np.full(N, np.nan)
    for number, matrix in enumerate(matrices_of(labels, plan)):
        card = card_of(matrix, digest=f"{number}")
        rounded = rounding.rounded_values(card, steps=steps, key=KEY)
        mious[number] = rounded["miou"]
        predicted = matrix.sum(axis=0)
        for line in rounded["classes"]:
            index, iou, recall = line["id"], line["iou"], line["recall"]
            if iou is None or recall is None:
                continue
            # two estimates of the same count, weighted by their errors
            slope = (totals[index] + predicted[index]) / (1 + iou) ** 2
            estimates = iou * (totals[index] + predicted[index]) / (1 + iou), recall * totals[index]
            weights = 1 / slope**2, 1 / totals[index] ** 2
            pixels[number, index] = np.average(estimates, weights=weights)
            errors[index] = steps.classes[index] * np.sqrt(1 / 6 / sum(weights))
    return Told(pixels, errors, mious=mious, miou_error=steps.miou / np.sqrt(6))


def plans(random: np.random.Generator, blocks: int, submissions: int) -> list[Ints]:
    """Which class each block gets in each submission: all classes, or the frequent ones alone."""
    found = []
    for count in (SCORED, 4):
        chosen = np.argsort(-SHARE[:SCORED])[:count]
        found.append(chosen[random.integers(0, count, size=(submissions, blocks))])
    return found


def reconstruct(
    labels: Labels, told: Callable[[Labels, Ints], Told], *, submissions: int, seed: int
) -> Learnt:
    """Return the most that any plan and prior teaches."""
    random = np.random.default_rng(seed)
    best = Learnt(0.0, 0.0)
    for plan in plans(random, len(labels.blocks), submissions):
        known = told(labels, plan)
        for smoothness in (0.0, 2.0, 10.0):
            shares = solve(known, plan, labels=labels, smoothness=smoothness)
            learnt = score_guess(labels, shares.argmax(axis=1))
            best = Learnt(max(best.majorities, learnt.majorities), max(best.miou, learnt.miou))
    return best


def score_guess(labels: Labels, guess: Ints) -> Learnt:
    """How good one class a block is as a map of the attacked patches."""
    matrix = np.zeros((N, N), dtype=np.int64)
    for index in range(N):
        matrix[:, index] = labels.blocks[guess == index].sum(axis=0)
    right = guess == labels.blocks.argmax(axis=1)
    return Learnt(float(right.mean()), float(ratios(matrix)["miou"]))


def best_constant(labels: Labels) -> Learnt:
    """What one class everywhere tells, known without any submission."""
    every = [score_guess(labels, np.full(len(labels.blocks), index)) for index in range(SCORED)]
    return Learnt(max(one.majorities for one in every), max(one.miou for one in every))


def single_pixels(step: float, *, random_rounding: bool, submissions: int, seed: int = 3) -> float:
    """Share of unknown pixels told right (half is chance), each class probed on its own.

    The attacker brings a class's IoU to an edge of its rounding by bisection, then puts one pixel
    of unknown label on the class in each further submission and watches the edge.
    """
    random = np.random.default_rng(seed)
    right = asked = 0
    for index in range(SCORED):
        pixels = int(SHARE[index] * PATCHES * PATCH_PIXELS)
        start = int(pixels * random.uniform(0.4, 0.7))
        number = 0

        def disclosed(
            shift: int, index: int = index, start: int = start, pixels: int = pixels
        ) -> int:
            nonlocal number
            number += 1
            value = (start + shift) / (2 * pixels - start - shift)
            if not random_rounding:
                return int(np.floor(value / step))
            shown = rounding.random_rounding(
                value, step=step, key=KEY, digest=f"{seed} {number}", metric=f"class {index}"
            )
            assert shown is not None
            return round(shown / step)

        low, high = 0, int(1.1 * step * pixels)
        below = disclosed(low)
        while high - low > 1 and number < submissions:
            middle = (low + high) // 2
            low, high = (middle, high) if disclosed(middle) <= below else (low, middle)
        while number < submissions:
            is_class = bool(random.integers(2))
            right += (disclosed(low + int(is_class)) > below) == is_class
            asked += 1
    return right / asked


def presence(told: Callable[[Labels, Ints], Told], labels: Labels, *, submissions: int) -> float:
    """Share of (patch, class) questions "is there any?" answered right, less the best constant.

    Each submission puts class c on one patch, another patch for each class, and nothing elsewhere.
    """
    per_patch = GRID**2
    there = labels.blocks.reshape(-1, per_patch, N).sum(axis=1) > 0
    count = min(submissions - 1, len(there))
    nothing = np.full((count + 1, len(labels.blocks)), N - 1)
    for number in range(count):
        for index in range(SCORED):
            patch = (number + index) % len(there)
            nothing[number + 1, patch * per_patch : (patch + 1) * per_patch] = index
    known = told(labels, nothing)
    answers, truth = [], []
    for number in range(count):
        for index in range(SCORED):
            gain = known.pixels[number + 1, index] - known.pixels[0, index]
            answers.append(gain > 0.5 * np.nan_to_num(known.errors[index], nan=np.inf))
            truth.append(there[(number + index) % len(there), index])
    right = float(np.mean(np.array(answers) == np.array(truth)))
    return right - max(float(np.mean(truth)), 1 - float(np.mean(truth)))


def class_totals(told: Callable[[Labels, Ints], Told], labels: Labels) -> float:
    """The largest error of a class's share of all pixels after predicting each class everywhere."""
    whole = Labels(labels.totals[None], np.zeros((N, N), dtype=np.int64))
    known = told(whole, np.arange(N)[:, None])
    found = np.array([known.pixels[index, index] for index in range(SCORED)])
    error = np.abs(found - labels.totals[:SCORED]) + known.errors[:SCORED]
    return float(np.nanmax(error) / labels.totals.sum()) if not np.isnan(error).all() else np.nan


def steps_of(labels: Labels, *, pixels_per_step: int = rounding.PIXELS_PER_STEP) -> Steps:
    """The steps that the site makes of these labels."""
    return rounding.steps_for(
        labels.totals.tolist(), scored=range(SCORED), pixels_per_step=pixels_per_step
    )


def main() -> int:
    """Print the table; 1 where the present disclosure teaches more than is allowed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer patches")
    quick = parser.parse_args().quick
    broken = False
    print(f"{SUBMISSIONS} submissions; majorities of 64 px blocks, mIoU of the rebuilt map")
    print(f"{'':44}{'constant':>16}{'attack':>16}")
    for attacked in (1, 4) if quick else (1, 4, 48):
        random = np.random.default_rng(attacked)
        small = make_labels(random, attacked=attacked, patches=attacked)
        large = Labels(small.blocks, make_labels(random, attacked=1).rest)
        steps = steps_of(large)
        cases: list[tuple[str, Labels, Callable[[Labels, Ints], Told]]] = [
            ("old, a phase of these patches", small, in_decimals(full=True)),
            ("old, classes of the whole test", large, in_decimals(full=False)),
            ("present, a phase of these patches", small, in_steps(steps_of(small))),
            ("present, the whole test", large, in_steps(steps)),
        ]
        for name, labels, told in cases:
            base = best_constant(labels)
            found = reconstruct(labels, told, submissions=SUBMISSIONS, seed=attacked)
            gain = found.majorities - base.majorities
            is_bad = name == "present, the whole test" and gain > ALLOWED_GAIN
            broken |= is_bad
            print(
                f"{attacked:3} patches, {name:32}{base.majorities:8.1%} {base.miou:7.3f}"
                f"{found.majorities:8.1%} {found.miou:7.3f}{'  TOO MUCH' if is_bad else ''}"
            )
    large = make_labels(np.random.default_rng(9), attacked=48)
    steps = steps_of(large)
    print("\n'Is there any of this class in this patch?', above the best constant")
    print(f"  old {presence(in_decimals(full=False), large, submissions=SUBMISSIONS):+.1%}")
    print(f"  present {presence(in_steps(steps), large, submissions=SUBMISSIONS):+.1%}")
    print("Error of a class's share of all pixels, by one class everywhere")
    print(f"  old {class_totals(in_decimals(full=False), large):.3%}")
    print(f"  present {class_totals(in_steps(steps), large):.3%}")
    print("Single pixels at an edge told right (chance: 50 %)")
    step = max(steps.classes[index] for index in range(SCORED))
    for name, size, at_random in (
        ("4 decimals", 1e-4, False),
        (f"plain steps of {step:g}", step, False),
        (f"present, steps of {step:g}", step, True),
    ):
        found_right = single_pixels(size, random_rounding=at_random, submissions=SUBMISSIONS)
        broken |= at_random and found_right > 0.55
        print(f"  {name:28}{found_right:7.1%}")
    return int(broken)


def in_decimals(*, full: bool) -> Callable[[Labels, Ints], Told]:
    """The old disclosure as a function of labels and plan."""
    return lambda labels, plan: told_by_decimals(labels, plan, decimals=4, full=full)


def in_steps(steps: Steps) -> Callable[[Labels, Ints], Told]:
    """The present disclosure likewise."""
    return lambda labels, plan: told_in_steps(labels, plan, steps=steps)


if __name__ == "__main__":
    sys.exit(main())
