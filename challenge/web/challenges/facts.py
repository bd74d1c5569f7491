"""Numbers and names from a challenge's facts (its ``challenge.toml``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def class_shares(facts: Mapping[str, Any]) -> dict[str, float]:
    """Return the published share of each class in the test pixels, as a fraction of the scored.

    >>> class_shares({"nomenclature": [{"class": "building", "test_percent": 8.0}]})
    {'building': 0.08}
    """
    shares: dict[str, float] = {}
    for row in facts.get("nomenclature") or []:
        if row.get("test_percent") is not None:
            shares[row["class"]] = shares.get(row["class"], 0.0) + row["test_percent"] / 100
    return shares


def domain_names(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return {domain: name and year}.

    >>> domain_names({"domains": {"test": [{"id": "D012_2019", "name": "Ain", "year": 2019}]}})
    {'D012_2019': 'Ain 2019'}
    """
    return {
        row["id"]: f"{row['name']} {row.get('year', '')}".strip()
        for split in (facts.get("domains") or {}).values()
        for row in split
    }
