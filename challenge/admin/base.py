"""What the organisers' admin has in common: it shows everything and bypasses nothing.

Rows with a history are read here and changed by actions that call the services; nothing is
deleted. People with a role in a challenge see that challenge, superusers all; what a role does not
allow is refused by the service and told on the page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import get_fields_from_path
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from challenge.errors import Refusal
from challenge.models import Challenge, User
from challenge.rules.roles import Act
from challenge.selectors import roles

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


class OwnRelatedFilter(admin.RelatedFieldListFilter):
    """A filter by challenge or by what belongs to one, which offers one's own challenges alone."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        own = roles.challenges_of(request.user, model_admin.read_act)
        path = "pk" if field.related_model is Challenge else "challenge"
        return field.get_choices(
            include_blank=False,
            ordering=self.field_admin_ordering(field, request, model_admin),
            limit_choices_to={f"{path}__in": own.values("pk")},
        )


class OwnChallenges(ModelAdmin):
    """Rows of the challenges that a person organises; ``challenge_path`` leads to them."""

    challenge_path: ClassVar[str] = "challenge"
    # What a role must allow for a person to see these rows.
    read_act: ClassVar[Act] = Act.READ
    # What it must allow to change one; None: nobody changes them.
    change_act: ClassVar[Act | None] = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if roles.is_operator(request.user):
            return rows  # also those that belong to no challenge
        challenges = roles.challenges_of(request.user, self.read_act)
        return rows.filter(**{f"{self.challenge_path or 'pk'}__in": challenges.values("pk")})

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Answer a row's page; what a service refuses is told there, and nothing is written."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except Refusal as refusal:
            messages.error(request, str(refusal))
            return redirect(request.get_full_path())

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Return the page's filters; those by related rows list no other people's drafts."""
        return [
            (entry, OwnRelatedFilter)
            if isinstance(entry, str) and get_fields_from_path(self.model, entry)[-1].is_relation
            else entry
            for entry in super().get_list_filter(request)
        ]

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

    def has_module_permission(self, request: HttpRequest) -> bool:
        return roles.may_somewhere(request.user, self.read_act)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return roles.may_somewhere(request.user, self.read_act)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if self.change_act is None or not roles.may_somewhere(request.user, self.change_act):
            return False
        if obj is None:
            return True
        allowed = roles.challenges_of(request.user, self.change_act)
        return allowed.filter(pk=self.challenge_of(obj)).exists()

    def challenge_of(self, row: Any) -> int:
        """Return the id of the challenge that a row belongs to."""
        return int(row.challenge_id if self.challenge_path else row.pk)


class ReadOnly(OwnChallenges):
    """Rows that only services write: shown, never edited, added or deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
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
