"""Checks of JSON documents against the types that the code declares for them.

JSON that comes from a file, a pipe or a database has no types of its own. `check` compares it with
a ``TypedDict`` (or a list, a dictionary, a union of such) and returns it under that type, so that
whoever reads a document afterwards is checked by mypy.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar, cast

T = TypeVar("T")


class TypedJsonError(ValueError):
    """A document of another form; the message names the key and what was expected there."""


def check(document: object, expected: type[T], *, path: str = "") -> T:
    """``document``, unchanged, as ``expected``: a TypedDict, list[X], dict[str, X] or a scalar.

    Keys that the type does not name are allowed, so that a newer document stays readable.
    Raises `TypedJsonError` for a missing key, another type or a number that is not finite.

    >>> check({"miou": 0.5, "ious": [0.5, None]}, dict[str, object])
    {'miou': 0.5, 'ious': [0.5, None]}
    >>> check([1, 2, "3"], list[int], path="pixels")
    Traceback (most recent call last):
        ...
    scoring.engine.typed_json.TypedJsonError: pixels[2] is '3', not int
    """
    _check(document, expected, path)
    return cast("T", document)


def _check(value: object, expected: Any, path: str) -> None:
    origin = typing.get_origin(expected)
    if expected is object:
        return
    if typing.is_typeddict(expected):
        _check_typed_dict(value, expected, path)
    elif origin is list:
        _check_list(value, typing.get_args(expected)[0], path)
    elif origin is dict:
        if not isinstance(value, Mapping):
            raise _error(value, "an object", path)
        for key, item in value.items():
            _check(item, typing.get_args(expected)[1], f"{path}.{key}")
    elif origin in (typing.Union, types.UnionType):
        _check_union(value, typing.get_args(expected), path)
    elif not _is_scalar(value, expected):
        raise _error(value, "null" if expected is type(None) else expected.__name__, path)


def _check_typed_dict(value: object, expected: Any, path: str) -> None:
    if not isinstance(value, Mapping):
        raise _error(value, "an object", path)
    for key, kind in _fields(expected).items():
        if key in value:
            _check(value[key], kind, f"{path}.{key}" if path else key)
        elif key in expected.__required_keys__:
            raise TypedJsonError(f"{path or 'the document'} has no key {key!r}")


def _check_list(value: object, kind: Any, path: str) -> None:
    if not isinstance(value, list):
        raise _error(value, "a list", path)
    if kind in (int, str) and all(type(item) is kind for item in value):
        return  # the common case, a row of a matrix, in one pass
    for i, item in enumerate(value):
        _check(item, kind, f"{path}[{i}]")


def _check_union(value: object, kinds: tuple[Any, ...], path: str) -> None:
    """One of ``kinds`` must fit; the error is that of the last, the form wanted if not null."""
    for kind in sorted(kinds, key=lambda kind: kind is not type(None)):
        try:
            _check(value, kind, path)
        except TypedJsonError as error:
            last = error
        else:
            return
    raise last


def _is_scalar(value: object, expected: Any) -> bool:
    if expected is float:
        return type(value) in (int, float) and math.isfinite(cast("float", value))
    return type(value) is expected


@lru_cache(maxsize=64)
def _fields(expected: Any) -> dict[str, Any]:
    return typing.get_type_hints(expected)


def _error(value: object, wanted: str, path: str) -> TypedJsonError:
    return TypedJsonError(f"{path or 'the document'} is {str(value)[:80]!r}, not {wanted}")
