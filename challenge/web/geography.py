"""Domains on the map of France.

Shapes: "Map of France departments" of svg-maps 2.0.0 by Victor Cazanave, CC BY 4.0, simplified to
whole units (decision 071).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

VIEW_BOX = "0 0 613 585"
SHADES = 5
SAME = 0.0005  # differences that two decimals of a per cent do not show well


@cache
def departments() -> dict[str, dict[str, str]]:
    """Return {code: {"name", "path"}} of the 96 départements of metropolitan France."""
    source = Path(__file__).with_name("departments.json")
    by_code: dict[str, dict[str, str]] = json.loads(source.read_text(encoding="utf-8"))[
        "departments"
    ]
    return by_code


def code_of(domain: str) -> str:
    """Return the département of a domain's name, "" where it has none.

    >>> code_of("D012_2019"), code_of("D02A_2020"), code_of("elsewhere")
    ('12', '2A', '')
    """
    if not domain.startswith("D") or len(domain) < 4:
        return ""
    code = domain[2:4]
    return code if code in departments() else ""


def splits(domains: Mapping[str, Any]) -> dict[str, Any]:
    """Return shapes and lists for a map of the training, validation and test domains."""
    titles = {"train": _("training"), "val": _("validation"), "test": _("test")}
    shapes, lists = [], []
    for kind in ("train", "val", "test"):
        rows = domains.get(kind) or []
        lists.append({"kind": kind, "title": titles[kind], "rows": rows})
        for row in rows:
            department = departments().get(str(row.get("department", "")))
            if department is not None:
                shapes.append(
                    {
                        "kind": kind,
                        "id": row["id"],
                        "path": department["path"],
                        "title": f"{row['name']} {row['year']}, {titles[kind]}",
                    }
                )
    return {"view_box": VIEW_BOX, "shapes": shapes, "lists": lists}


def shaded(mious: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Return the shapes of domains with their mIoU's shade d0 (least) to d4 (most).

    ``mious`` maps a domain's name to a fraction; a département that stands for several years
    gets the mean of them.
    """
    means = _by_department(mious)
    if not means:
        return []
    low, high = min(means.values()), max(means.values())
    span = (high - low) or 1.0
    return [
        {
            "path": departments()[code]["path"],
            "name": departments()[code]["name"],
            "miou": mean,
            "shade": min(SHADES - 1, int((mean - low) / span * SHADES)),
        }
        for code, mean in sorted(means.items())
    ]


def changed(differences: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Return the shapes of domains shaded by what was won or lost: c0 (lost most) to c4.

    ``differences`` maps a domain's name to a difference of mIoU (fraction). Half of the largest
    change parts a little from much; below ``SAME`` nothing changed (c2).

    >>> [one["shade"] for one in changed({"D012_2019": 0.04, "D075_2021": -0.01})]
    [4, 1]
    """
    means = _by_department(differences)
    most = max((abs(mean) for mean in means.values()), default=0.0)
    shapes = []
    for code, mean in sorted(means.items()):
        step = 0 if abs(mean) < SAME else 2 if abs(mean) > most / 2 else 1
        department = departments()[code]
        shapes.append(
            {
                "path": department["path"],
                "name": department["name"],
                "change": mean,
                "shade": 2 + (step if mean > 0 else -step),
            }
        )
    return shapes


def _by_department(values: Mapping[str, float | None]) -> dict[str, float]:
    by_code: dict[str, list[float]] = {}
    for domain, value in values.items():
        code = code_of(domain)
        if code and value is not None:
            by_code.setdefault(code, []).append(value)
    return {code: sum(found) / len(found) for code, found in by_code.items()}
