"""Columns of our own."""

from __future__ import annotations

from typing import Any

from django.db import models

from challenge.rules import names


class WebAddressField(models.URLField):  # type: ignore[type-arg]  # not generic at run time
    """A URLField whose forms take an address without a scheme for https, as Django 6 will."""

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**({"assume_scheme": "https"} | kwargs))

    def deconstruct(self) -> Any:
        """Migrations need not know: the column is a URLField's."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.URLField", args, kwargs


class NameKeyField(models.TextField):  # type: ignore[type-arg]  # not generic at run time
    """The look-alike key of the name in the column ``name_field``, set whenever a row is saved.

    Rows whose names looked alike before keys existed have their id behind a line break, until they
    are renamed. Empty where a row was written by SQL or in bulk: then nothing is compared.
    """

    def __init__(self, *, name_field: str = "name", **kwargs: Any) -> None:
        self.name_field = name_field
        defaults: dict[str, Any] = {"editable": False, "default": "", "db_default": ""}
        super().__init__(**(defaults | kwargs))

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        """Compute the key from the name, unless the name still has the key that is stored."""
        stored: str = getattr(model_instance, self.attname)
        key = names.look_alike_key(getattr(model_instance, self.name_field))
        if stored.partition("\n")[0] != key:
            setattr(model_instance, self.attname, key)
            return key
        return stored

    def deconstruct(self) -> Any:
        """Migrations need not know: the column is a TextField's."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.TextField", args, kwargs
