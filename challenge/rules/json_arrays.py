"""A JSON array line by line, for an answer that is never in memory as a whole. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any


def json_array(items: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Return the text of an array of documents, a document a line.

    >>> "".join(json_array([{"a": 1}, {"a": None}]))
    '[\\n{"a": 1},\\n{"a": null}\\n]\\n'
    >>> "".join(json_array([]))
    '[]\\n'
    """
    separator = "[\n"
    for item in items:
        yield separator + json.dumps(item, ensure_ascii=False)
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"
