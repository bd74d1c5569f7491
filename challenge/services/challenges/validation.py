"""Checking a TOML document against a pydantic model, with messages for the person who writes it.

Pydantic decides; this module only says its findings in our words (what was found, what is allowed)
and at the line of the key. Pure: no Django.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

import annotated_types
from pydantic import AwareDatetime, BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from challenge.services.challenges.toml_document import KeyPath, TomlDocument, dotted

Model = TypeVar("Model", bound=BaseModel)

_WRONG_TYPE = frozenset(
    {
        "bool_type", "datetime_type", "dict_type", "float_type", "int_type", "model_type",
        "string_type", "tuple_type", "list_type",
    }
)  # fmt: skip


def validate(
    model: type[Model], document: TomlDocument, *, context: Mapping[str, Any] | None = None
) -> Model:
    """Return ``document`` as an instance of ``model``; ``context`` is for its validators.

    Raises `FileMistakes` with every key that is missing, unknown or has a wrong value.
    """
    try:
        return model.model_validate(document.content, context=dict(context or {}))
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            document.add_mistake(detail["loc"], _message(model, detail))
        document.raise_if_any()
        raise


def _message(model: type[BaseModel], detail: ErrorDetails) -> str:
    """Say one error of pydantic in our words."""
    field, parent = _field_at(model, detail["loc"])
    kind, value = detail["type"], detail["input"]
    limits = detail.get("ctx", {})
    if kind == "missing":
        return f"is missing; {_wanted(field, detail['loc'])} is needed"
    if kind == "extra_forbidden":
        return _unknown_key(str(detail["loc"][-1]), parent)
    if kind == "string_too_short":
        return "is empty; a text is needed"
    if kind == "string_too_long":
        return f"has {len(value)} characters; allowed are {limits['max_length']}"
    if kind == "string_pattern_mismatch":
        example = field.examples[0] if field and field.examples else limits["pattern"]
        return f"is {show(value)}; write it like {example}"
    if kind == "literal_error" and field is not None:
        return f"is {show(value)}; allowed are {', '.join(_choices(field.annotation))}"
    if kind in {"greater_than_equal", "less_than_equal"} and field is not None:
        low, high = _bounds(field)
        return f"is {show(value)}; allowed are {low} to {high}"
    if kind == "timezone_aware":
        return f"is {value.isoformat()} without an offset; end it with Z for UTC"
    if kind in _WRONG_TYPE:
        verb = "are" if kind in {"tuple_type", "list_type"} else "is"
        return f"is {show(value)}; {_wanted(field, detail['loc'])} {verb} needed"
    return detail["msg"]


def show(value: object) -> str:
    """Show a found value shortly, in TOML's spelling."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else f"{value[:57]}…")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _unknown_key(key: str, parent: type[BaseModel]) -> str:
    known = [field.alias or name for name, field in parent.model_fields.items()]
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"is not a known key; {hint}Allowed are {', '.join(known)}"


def _field_at(model: type[BaseModel], path: KeyPath) -> tuple[FieldInfo | None, type[BaseModel]]:
    """Return the field at ``path`` (None where the model has none) and the model that holds it."""
    field: FieldInfo | None = None
    parent = current = model
    for part in path:
        if isinstance(part, int):
            continue
        parent = current
        by_key = {info.alias or name: info for name, info in current.model_fields.items()}
        field = by_key.get(part)
        if field is None:
            break
        current = _model_in(field.annotation) or current
    return field, parent


def _types_in(annotation: Any) -> list[Any]:
    """Return the types that an annotation such as ``tuple[Phase, ...] | None`` names."""
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return [str]
    if not inner:
        return [annotation]
    return [kind for part in inner for kind in _types_in(part)]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for kind in _types_in(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _wanted(field: FieldInfo | None, path: KeyPath) -> str:
    """Say what kind of value is needed at ``path``."""
    if field is None or (path and isinstance(path[-1], int)):
        return "a table"
    if field.description:
        return field.description
    kinds = _types_in(field.annotation)
    if _model_in(field.annotation):
        is_list = typing.get_origin(field.annotation) in (list, tuple)
        return f"tables [[{dotted(path)}]]" if is_list else f"a table [{dotted(path)}]"
    if {datetime, AwareDatetime} & set(kinds):
        return "a date-time with its offset, such as 2024-01-01T00:00:00Z,"
    if bool in kinds:
        return "true or false"
    if int in kinds or float in kinds:
        low, high = _bounds(field)
        return f"a {'whole ' if int in kinds else ''}number from {low} to {high}"
    return "a text"


def _choices(annotation: Any) -> list[str]:
    if typing.get_origin(annotation) is typing.Literal:
        return [str(choice) for choice in typing.get_args(annotation)]
    return [choice for part in typing.get_args(annotation) for choice in _choices(part)]


def _bounds(field: FieldInfo) -> tuple[str, str]:
    """Return the smallest and the greatest allowed number of a field, as text."""
    limits = {type(rule): rule for rule in field.metadata}
    low, high = limits.get(annotated_types.Ge), limits.get(annotated_types.Le)
    return (show(low.ge) if low else "any"), (show(high.le) if high else "any")
