"""From what masks hold to what is learned: a task's labels, and FLAIR's nineteen.

A *label* (1..19 in FLAIR) is what a mask holds, a *class id* (0..12) what a network predicts.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scoring.engine.task.specification import TaskSpec

# Pairs of a mask's value and a class id, ascending.
Labels = tuple[tuple[int, int], ...]

LABEL_KEYS = (
    "building",
    "pervious",
    "impervious",
    "bare_soil",
    "water",
    "coniferous",
    "deciduous",
    "brushwood",
    "vineyard",
    "herbaceous",
    "agricultural",
    "plowed",
    "swimming_pool",
    "snow",
    "clear_cut",
    "mixed",
    "ligneous",
    "greenhouse",
    "other",
)
LABEL = {key: index + 1 for index, key in enumerate(LABEL_KEYS)}

ILLEGAL = 255

# The reduction of both challenges: twelve classes, and 13 to 19 as "other".
FLAIR_LABELS: Labels = tuple((label, min(label - 1, 12)) for label in range(1, 20))


def labels_of(spec: TaskSpec) -> Labels:
    """Give a task's mask values with their class ids.

    >>> from scoring.engine.task.examples import abc_spec
    >>> labels_of(abc_spec())
    ((1, 0), (2, 1), (3, 2))
    """
    return tuple((value, int(spec.label_table[value])) for value in spec.label_values)


@lru_cache(maxsize=16)
def reduction_table(labels: Labels) -> NDArray[np.uint8]:
    """Give the table uint8[256] from a mask's value to a class id; `ILLEGAL` marks no label."""
    table = np.full(256, ILLEGAL, dtype=np.uint8)
    for value, class_id in labels:
        table[value] = class_id
    table.setflags(write=False)
    return table


def reduce_labels(mask: NDArray[np.uint8], *, labels: Labels = FLAIR_LABELS) -> NDArray[np.uint8]:
    """Turn a mask's values into class ids, any shape.

    Raises ValueError naming the first value that is no label, and those that are.
    """
    classes = reduction_table(labels)[mask]
    if classes.max(initial=0) == ILLEGAL:
        value = int(mask[classes == ILLEGAL].flat[0])
        allowed = _ranges([label for label, _ in labels])
        raise ValueError(f"mask value {value} is no label of the task; allowed are {allowed}")
    return classes


def _ranges(values: list[int]) -> str:
    """Say ascending numbers: `0 to 3, 7`."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(str(low) if low == high else f"{low} to {high}" for low, high in runs)
