"""Columns of our own."""

from __future__ import annotations

from typing import Any

from django.db import models


class WebAddressField(models.URLField):  # type: ignore[type-arg]  # not generic at run time
    """A URLField whose forms take an address without a scheme for https, as Django 6 will."""

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**({"assume_scheme": "https"} | kwargs))

    def deconstruct(self) -> Any:
        """Migrations need not know: the column is a URLField's."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.URLField", args, kwargs
