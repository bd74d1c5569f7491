"""The smallest specifications: what docstrings, tests and newcomers try the engine with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scoring.engine.task.specification import TaskSpec, parse


def abc_spec(**changes: Any) -> TaskSpec:
    """Two scored classes A and B and an unscored "other", masks 1..3, patches of 3 by 4.

    >>> abc_spec().scored_ids
    (0, 1)
    """
    classes = [
        {"id": 0, "key": "a", "labels": [1]},
        {"id": 1, "key": "b", "labels": [2]},
        {"id": 2, "key": "other", "labels": [3], "scored": False},
    ]
    task = {
        "id": "abc",
        "patch_height_px": 3,
        "patch_width_px": 4,
        "label_offset": 1,
        "unscored_policy": "full-matrix",
        "absent_policy": "skip",
        "prediction_pattern": "PRED_(?P<id>[0-9]{3})",
        "truth_pattern": "MSK_(?P<id>[0-9]{3})",
        "prediction_name": "PRED_{id}.tif",
        "classes": classes,
    }
    return parse({"task": {**task, **changes}}, folder=Path())
