"""What the pages of the operators' admin have in common: they show rows and bypass nothing.

Rows with a history are read here and changed by the services, most of them from the desk of their
challenge; nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext as _

from challenge.errors import Refusal
from challenge.models import User
from challenge.selectors import roles

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:  # the classes are generic to the type checker alone
    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline


class OperatorRequest(HttpRequest):
    """A request of the admin: nobody else reaches it."""

    user: User


class ReadOnly(ModelAdmin):
    """Rows that only services write: shown to operators, never edited, added or deleted."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # Django reads a row before it asks for any permission.
        rows = super().get_queryset(request)
        return rows if roles.is_operator(request.user) else rows.none()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow the lookups of the page's own filters alone.

        Django also takes any column of the model from the address: ``?miou__gt=…`` would tell of
        hidden values what the page does not.
        """
        filters = [entry[0] if isinstance(entry, tuple) else entry for entry in self.list_filter]
        names = [getattr(entry, "parameter_name", entry) for entry in filters]
        if self.date_hierarchy:
            names.append(self.date_hierarchy)
        if not any(lookup == name or lookup.startswith(f"{name}__") for name in names):
            return False
        return super().lookup_allowed(lookup, value, request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return roles.is_operator(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return roles.is_operator(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ReadOnlyInline(TabularInline):
    """Related rows, read only."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True


def page_link(name: str, *arguments: object) -> str:
    """Return a link to a page of the site, shown as its address."""
    url = reverse(name, args=arguments)
    return format_html('<a href="{}">{}</a>', url, url)


def each(
    request: HttpRequest, rows: QuerySet[Any], act: Callable[[Any], object], *, done: str | Promise
) -> None:
    """Do something to each row; say what was done and what was refused, and why."""
    done_count = 0
    for row in rows:
        try:
            act(row)
        except Refusal as refusal:
            messages.warning(request, f"{row}: {refusal}")
        else:
            done_count += 1
    if done_count:
        messages.success(request, _("%(count)s × %(done)s") % {"count": done_count, "done": done})
