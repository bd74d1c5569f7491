"""CSV as an answer: safe cells, always a download."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.http import HttpResponse

from challenge.rules import spreadsheet

CONTENT_TYPE = "text/csv; charset=utf-8"
OPENAPI: dict[str, Any] = {
    "responses": {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
}


def respond(header: Sequence[str], rows: Iterable[Sequence[object]], *, name: str) -> HttpResponse:
    """Rows as a CSV download called ``name``."""
    response = HttpResponse(spreadsheet.write_csv(header, rows), content_type=CONTENT_TYPE)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response
