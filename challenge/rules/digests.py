"""Digests of plain documents: what a person confirms, bound to exactly what was shown. Pure."""

from __future__ import annotations

import hashlib
import json


def of_json(document: object) -> str:
    """Return the SHA-256 (hex) of a document of plain values; others count as their text.

    >>> of_json({"b": 1, "a": [2]}) == of_json({"a": [2], "b": 1})
    True
    """
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
