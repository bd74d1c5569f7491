"""People, registrations, teams, the audit trail, training runs."""

from __future__ import annotations

import json
from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from challenge.admin.base import OperatorRequest, ReadOnly, ReadOnlyInline, each, page_link
from challenge.models import (
    ApiToken,
    AuditEvent,
    Membership,
    Registration,
    Team,
    TrainingEvent,
    TrainingRun,
    User,
    WebhookDelivery,
)
from challenge.rules.lifecycle import RunState
from challenge.services import audit
from challenge.services.training import training_runs

SHOWN_OF_A_LIST = 20
# What opens more of the site to an account, where it is not a role in a challenge.
RIGHTS = ("is_active", "is_superuser", "groups", "user_permissions")


def _plain(right: Any) -> Any:
    """Return a flag as it is, a list of rows as their names."""
    if right is None or isinstance(right, bool):
        return right
    rows = right if isinstance(right, list) else right.all()
    return sorted(str(row) for row in rows)


def _short(value: Any) -> Any:
    """Return the first of many: an act may name thousands of submissions."""
    if isinstance(value, list) and len(value) > SHOWN_OF_A_LIST:
        return [*value[:SHOWN_OF_A_LIST], f"… {len(value)}"]
    return value


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]
    """Accounts, for superusers. Deleting is the person's own act (or the service's)."""

    list_display = ("username", "email", "affiliation", "is_active", "is_superuser", "date_joined")
    list_filter = ("is_superuser", "is_active", "groups")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Personal info"), {"fields": ("first_name", "last_name", "email")}),
        # Not is_staff, which opens nothing here: roles do (selectors.roles).
        (_("Permissions"), {"fields": RIGHTS}),
        (_("Important dates"), {"fields": ("last_login", "date_joined")}),
        (_("Profile"), {"fields": ("affiliation", "language", "theme", "timezone", "shows_page")}),
        (_("E-mail"), {"fields": ("mail_on_result", "mail_on_announcement", "mail_on_message")}),
    )

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Write the form's lists, and into the trail what somebody's rights were and are."""
        person: User = form.instance
        before = {name: _plain(form.initial.get(name)) for name in RIGHTS} if change else {}
        super().save_related(request, form, formsets, change)
        after = {name: _plain(getattr(person, name)) for name in RIGHTS}
        if not change:  # the form of a new account asks for none of them
            before = dict.fromkeys(RIGHTS)
        if before != after:
            audit.record(
                "account.rights" if change else "account.create",
                actor=cast(OperatorRequest, request).user,
                target=person.username,
                before=before,
                after=after,
            )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Registration)
class RegistrationAdmin(ReadOnly):
    """Who asked to take part; the desk decides."""

    list_display = ("user", "challenge", "state", "terms_version", "accepted_at", "note")
    list_filter = ("challenge", "state")
    search_fields = ("user__username", "user__email")
    list_select_related = ("user", "challenge")
    readonly_fields = ("on_the_desk",)

    @admin.display(description=_("decided on the desk"))
    def on_the_desk(self, row: Registration) -> str:
        """A link to the desk's registrations."""
        return page_link("web:desk-registrations", row.challenge.slug)


class MembershipInline(ReadOnlyInline):
    model = Membership
    fields = ("user", "role", "joined_at")
    readonly_fields = fields
    show_change_link = False


@admin.register(Team)
class TeamAdmin(ReadOnly):
    list_display = ("name", "challenge", "affiliation", "is_platform", "merged_into", "created_at")
    list_filter = ("challenge", "is_platform")
    search_fields = ("name", "memberships__user__username")
    list_select_related = ("challenge", "merged_into")
    inlines = (MembershipInline,)


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnly):
    """What was done, by whom: of every challenge, and of the site."""

    list_display = ("at", "actor", "action", "challenge", "target", "data_shown")
    fields = list_display
    list_filter = ("action", "challenge")
    search_fields = ("target", "actor__username")
    date_hierarchy = "at"
    list_select_related = ("actor", "challenge")

    @admin.display(description=_("data"))
    def data_shown(self, row: AuditEvent) -> str:
        """The data, without the digests of hidden labels that earlier releases recorded."""
        return json.dumps(
            {
                key: _short(value)
                for key, value in row.data.items()
                if (row.action, key) != ("ground_truth.install", "digest")
            },
            ensure_ascii=False,
        )


class TrainingEventInline(ReadOnlyInline):
    model = TrainingEvent
    fields = ("at", "from_state", "to_state", "attempt", "actor", "reason")
    show_change_link = False


@admin.register(TrainingRun)
class TrainingRunAdmin(ReadOnly):
    list_display = ("recipe", "seed", "group", "phase", "state", "stage", "worker", "queued_at")
    list_filter = ("state", "recipe", "group")
    search_fields = ("id", "recipe", "group")
    list_select_related = ("phase__challenge",)
    inlines = (TrainingEventInline,)
    actions = ("queue_failed",)

    @admin.action(description=_("Queue failed ones again"))
    def queue_failed(
        self, request: OperatorRequest, rows: QuerySet[TrainingRun]
    ) -> HttpResponse | None:
        """Show which runs are queued again, then queue these; None sends back to the list."""
        failed = rows.filter(state=RunState.FAILED)
        if "confirmed" not in request.POST and (found := list(failed)):
            context = {
                **self.admin_site.each_context(request),
                "title": _now("Queue failed ones again"),
                "failed": found,
                "left": rows.count() - len(found),
                "opts": self.model._meta,
            }
            return TemplateResponse(request, "admin/challenge/ask_requeue.html", context)
        actor = request.user
        each(
            request,
            rows,
            lambda row: training_runs.requeue_failed(run=row, actor=actor),
            done=_now("queued again"),
        )
        return None


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnly):
    list_display = ("prefix", "name", "user", "scopes", "created_at", "last_used_at", "revoked_at")
    exclude = ("digest",)


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnly):
    list_display = ("webhook", "event", "created_at", "attempts", "delivered_at", "last_status")
    list_filter = ("event",)
