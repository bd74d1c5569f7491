"""What the organisers' admin has in common: it shows everything and bypasses nothing.

Rows with a history are read here and changed by actions that call the services; nothing is
deleted. Organisers see their own challenges, superusers all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from challenge.errors import Refusal
from challenge.models import User

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:  # the classes are generic to the type checker alone
    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline


class StaffRequest(HttpRequest):
    """A request of the admin: nobody else reaches it."""

    user: User


class ReasonForm(forms.Form):
    """Why something is done; the team reads it."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 80}),
    )


class OwnChallenges(ModelAdmin):
    """Rows of the challenges that a person organises; ``challenge_path`` leads to them."""

    challenge_path: ClassVar[str] = "challenge"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if request.user.is_superuser:
            return rows
        path = f"{self.challenge_path}__organisers" if self.challenge_path else "organisers"
        return rows.filter(**{path: request.user.pk})

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

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def _is_organiser(self, request: HttpRequest) -> bool:
        user = request.user
        return bool(
            user.is_active
            and user.is_staff
            and (user.is_superuser or user.organised_challenges.exists())
        )

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._is_organiser(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._is_organiser(request)


class ReadOnly(OwnChallenges):
    """Rows that only services write: shown, never edited, added or deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
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


def ask_reason(
    page: ModelAdmin,
    request: HttpRequest,
    rows: QuerySet[Any],
    act: Callable[[Any, str], object],
    *,
    action: str,
    title: str,
    done: str,
) -> HttpResponse | None:
    """Ask for a reason on a page of its own, then act; None sends back to the list."""
    form = ReasonForm(request.POST if "confirmed" in request.POST else None)
    if form.is_valid():
        reason: str = form.cleaned_data["reason"]
        each(request, rows, lambda row: act(row, reason), done=done)
        return None
    return TemplateResponse(
        request,
        "admin/challenge/ask_reason.html",
        {
            **page.admin_site.each_context(request),
            "title": title,
            "form": form,
            "rows": rows,
            "action": action,
            "opts": page.model._meta,
        },
    )
