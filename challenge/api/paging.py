"""Lists in pages: a cursor says after which row the next page begins.

Rows are ordered newest first by time and id, so that rows which arrive meanwhile never shift a
page. Every cursor of the documented form is valid: one that never was handed out gives the rows
older than it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from challenge.errors import refuse

Row = TypeVar("Row", bound=Model)

CURSOR_PATTERN = r"^[0-9]{1,16}-[0-9a-f]{1,32}$"
PAGE_DEFAULT = 50
PAGE_MAX = 200
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ID_MAX = 2**63 - 1


def page(
    rows: QuerySet[Row], *, cursor: str | None, limit: int, time_field: str = "created_at"
) -> tuple[list[Row], str | None]:
    """One page of ``rows`` and the cursor of the next one (None: there is none)."""
    if cursor:
        at, key = _read(cursor, is_uuid=rows.model._meta.pk.get_internal_type() == "UUIDField")
        before = {f"{time_field}__lt": at}
        rows = rows.filter(Q(**before) | Q(**{time_field: at, "pk__lt": key}))
    items = list(rows.order_by(f"-{time_field}", "-pk")[: limit + 1])
    if len(items) <= limit:
        return items, None
    last = items[limit - 1]
    return items[:limit], _write(getattr(last, time_field), last.pk)


def _write(at: datetime, key: Any) -> str:
    micros = (at - EPOCH) // timedelta(microseconds=1)
    return f"{micros}-{key.hex if isinstance(key, UUID) else format(key, 'x')}"


def _read(cursor: str, *, is_uuid: bool) -> tuple[datetime, Any]:
    if not re.fullmatch(CURSOR_PATTERN, cursor, re.ASCII):
        raise refuse("cursor-invalid")
    micros, _dash, digits = cursor.partition("-")
    at = EPOCH + timedelta(microseconds=int(micros))
    number = int(digits, 16)
    return at, UUID(int=number) if is_uuid else min(number, ID_MAX)
