"""Files as answers: always saved under a name, described in the OpenAPI document."""

from __future__ import annotations

from typing import Any, TypeVar

from django.http import HttpResponseBase

Answer = TypeVar("Answer", bound=HttpResponseBase)


def openapi(content_type: str, *, is_text: bool = False) -> dict[str, Any]:
    """Return what says of an operation that it answers a text or bytes of a content type."""
    schema = {"type": "string"} | ({} if is_text else {"format": "binary"})
    return {"responses": {200: {"content": {content_type: {"schema": schema}}}}}


def attachment(response: Answer, *, name: str) -> Answer:
    """Have a browser save an answer under a name, and guess nothing about it."""
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response
