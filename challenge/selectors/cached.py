"""Typed values in the cache, as JSON: pydantic writes them and checks what it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.core.cache import cache
from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


def read(key: str, *, kind: TypeAdapter[T]) -> T | None:
    """Return the value kept under ``key``; None where there is none that fits ``kind``.

    Another version of the site may have written one of another shape.
    """
    stored = cache.get(key)
    if not isinstance(stored, bytes):
        return None
    try:
        return kind.validate_json(stored)
    except ValidationError:
        return None


def write(key: str, value: T, *, kind: TypeAdapter[T], kept_s: int) -> None:
    """Keep ``value`` under ``key`` for ``kept_s`` seconds."""
    cache.set(key, kind.dump_json(value), kept_s)


def cached(key: str, make: Callable[[], T], *, kind: TypeAdapter[T], kept_s: int) -> T:
    """Return the value kept under ``key``, else what ``make`` makes, kept from now on."""
    value = read(key, kind=kind)
    if value is None:
        value = make()
        write(key, value, kind=kind, kept_s=kept_s)
    return value
