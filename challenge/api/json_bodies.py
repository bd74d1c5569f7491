"""JSON bodies of requests: read once, within limits that no honest request comes near.

The size is Django's to limit (``DATA_UPLOAD_MAX_MEMORY_SIZE``). Inside a small body there may still
be a hundred thousand keys, each of which validation would look at and report.
"""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest
from ninja.parser import Parser

from challenge.errors import refuse

VALUES_MAX = 1000
DEPTH_MAX = 10


class LimitedParser(Parser):
    """Ninja's parser of JSON bodies, with limits."""

    def parse_body(self, request: HttpRequest) -> Any:
        """Return the body's value.

        Raises ValueError or RecursionError for what is no JSON, Refusal ``body-too-complex``
        for more than `VALUES_MAX` values or more than `DEPTH_MAX` levels.
        """
        value = json.loads(request.body)
        check(value)
        return value


def check(value: object) -> None:
    """Raise Refusal ``body-too-complex`` for too many values, keys included, or levels."""
    level, count = [value], 0
    for _depth in range(DEPTH_MAX + 1):
        count += len(level)
        if count > VALUES_MAX:
            break
        level = [inner for outer in level for inner in _inner(outer)]
        if not level:
            return
    raise refuse("body-too-complex", values=VALUES_MAX, depth=DEPTH_MAX)


def _inner(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
