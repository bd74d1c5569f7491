"""The nineteen labels of FLAIR masks and their reduction to the thirteen classes that are learned.

A *label* (1..19) is what a mask holds, a *class id* (0..12) what a network predicts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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

N_CLASSES = 13
OTHER = 12  # class id of everything that is learned as "other"
PLOWED = 11
ILLEGAL = 255


def reduction_table() -> NDArray[np.uint8]:
    """Give the table uint8[256] from a mask's label to a class id; `ILLEGAL` marks no label."""
    table = np.full(256, ILLEGAL, dtype=np.uint8)
    table[1:13] = np.arange(12, dtype=np.uint8)
    table[13:20] = OTHER
    return table


def reduce_labels(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn labels 1..19 into class ids 0..12, any shape.

    Raises ValueError naming the first value that is no label.
    """
    classes = reduction_table()[mask]
    if classes.max(initial=0) == ILLEGAL:
        value = int(mask[classes == ILLEGAL].flat[0])
        raise ValueError(f"mask value {value} is no label; allowed are 1 to {len(LABEL_KEYS)}")
    return classes
