"""What the browser needs to check a zip before it is sent, as one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scoring.engine.archive import name_tables
from scoring.engine.archive.listing import example_name
from scoring.engine.problems import problems
from scoring.engine.task import specification as specs


def build(
    task: Mapping[str, Any],
    *,
    ids: Sequence[str],
    archive_limit_bytes: int,
    language: str,
    published: Mapping[str, float],
) -> dict[str, Any]:
    """Ids, names, limits, classes and the catalogue of problems in `language`.

    `task` is a task specification in JSON, `archive_limit_bytes` the phase's limit of the file,
    `published` the published share of a class by its key.
    """
    spec = specs.from_json({**task, "expected": []})  # the ids are given
    return {
        "ids": list(ids),
        "pattern": spec.prediction_pattern,
        "example": example_name(spec, tuple(ids)),
        "height_px": spec.patch_height_px,
        "width_px": spec.patch_width_px,
        "limits": {
            "archive_bytes": archive_limit_bytes,
            "inflated_bytes": spec.limits.archive_bytes,
            "member_bytes": spec.limits.member_bytes,
        },
        "label_values": list(spec.label_values) if spec.label_offset else [],
        "elsewhere": task.get("elsewhere") or [],
        "classes": [
            {
                "id": class_spec["id"],
                "name": class_spec["name"].get(language, class_spec["name"]["en"]),
                "color": class_spec["color"],
                "scored": class_spec["scored"],
                "published": published.get(class_spec["key"]),
            }
            for class_spec in task["classes"]
        ],
        **words(language),
    }


def words(language: str) -> dict[str, Any]:
    """Return what reading any zip needs: names of formats, the catalogue of problems."""
    return {
        "reader": name_tables.export(),
        "texts": {code: both[language] for code, both in problems.export().items()},
        "texts_of_one": problems.singular(language),
        "phrases": problems.phrases(language),
        "colon": problems.COLON[language],
    }
