"""Challenges, phases, labels, tasks, announcements."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from challenge.admin.base import ReadOnly, ReadOnlyInline, each, page_link
from challenge.models import (
    Announcement,
    Challenge,
    GroundTruth,
    Page,
    Phase,
    PublishedResult,
    TaskSpec,
)
from challenge.rules.disclosure import NEVER, Precision
from challenge.selectors import phase_disclosure
from challenge.services.leaderboard import ranks


class PhaseInline(ReadOnlyInline):
    model = Phase
    fields = ("slug", "is_published", "opens_at", "closes_at", "daily_limit", "visibility")


@admin.register(Challenge)
class ChallengeAdmin(ReadOnly):
    """A challenge's names, terms and limits; its desk changes and publishes it."""

    list_display = ("slug", "is_published", "terms_version", "approval_required", "updated_at")
    list_filter = ("is_published",)
    search_fields = ("slug",)
    inlines = (PhaseInline,)
    fields = (
        "on_the_desk",
        "slug",
        "is_published",
        "title",
        "tagline",
        "summary",
        "facts",
        "sort_order",
        "terms_version",
        "approval_required",
        "team_size_limit",
        "team_merge_until",
        "team_archives_bytes",
        "source_digest",
    )
    readonly_fields = ("on_the_desk",)

    @admin.display(description=_("changed on the desk"))
    def on_the_desk(self, row: Challenge) -> str:
        """A link to the challenge's desk."""
        return page_link("web:desk", row.slug)


@admin.register(Phase)
class PhaseAdmin(ReadOnly):
    """Dates, limits, visibility: read here; the desk changes them and says what that means."""

    list_display = (
        "__str__",
        "is_published",
        "opens_at",
        "closes_at",
        "daily_limit",
        "total_limit",
        "visibility",
        "detail",
        "ground_truth",
        "ranked_at",
    )
    list_filter = ("challenge", "is_published", "visibility")
    search_fields = ("slug", "challenge__slug")
    list_select_related = ("challenge", "ground_truth__challenge")
    readonly_fields = ("rounded_until", "on_the_desk")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "on_the_desk",
                    "challenge",
                    "slug",
                    "name",
                    "summary",
                    "sort_order",
                    "is_published",
                )
            },
        ),
        (_("Window"), {"fields": ("opens_at", "closes_at", "grace_minutes", "settled_at")}),
        (
            _("Limits"),
            {
                "fields": (
                    "daily_limit",
                    "total_limit",
                    "invalid_daily_limit",
                    "finals_limit",
                    "archive_limit_bytes",
                    "inference_ratio_limit",
                )
            },
        ),
        (
            _("What is shown"),
            {
                "fields": (
                    "visibility",
                    "detail",
                    "precision",
                    "rounded_until",
                    "labels_public",
                    "frozen_at",
                    "freeze_hides_own",
                )
            },
        ),
        (_("What is kept"), {"fields": ("archives_kept_days",)}),
        (_("Scored against"), {"fields": ("ground_truth", "task_spec", "ranked_at")}),
    )
    actions = ("rank_again",)

    @admin.display(description=_("figures leave in full precision"))
    def rounded_until(self, row: Phase) -> str:
        """The moment, and a warning where other phases on the same labels have to do with it."""
        until, others = phase_disclosure.rounded_until(row), row.labels_open_until
        moment = _("never: no end is set") if until == NEVER else f"{until:%Y-%m-%d %H:%M} UTC"
        if others is None or others <= (row.closes_at or NEVER):
            return str(moment)
        if row.precision == Precision.PHASE_CLOSED:
            more = _("Another phase on the same labels goes on: who submits there can read them.")
        else:
            more = _("Another phase on the same labels goes on until then.")
        return f"{moment}. {more}"

    @admin.display(description=_("changed on the desk"))
    def on_the_desk(self, row: Phase) -> str:
        """A link to the page that changes it."""
        return page_link("web:desk-phase", row.challenge.slug, row.slug)

    @admin.action(description=_("Recompute the ranks"))
    def rank_again(self, request: HttpRequest, rows: QuerySet[Phase]) -> None:
        each(request, rows, lambda row: ranks.recompute(phase=row), done=_("phases ranked"))


@admin.register(GroundTruth)
class GroundTruthAdmin(ReadOnly):
    """Versions of labels: known by the commitment to them, never opened here."""

    list_display = ("__str__", "patch_count", "commitment", "store_bytes", "created_at")
    list_filter = ("challenge",)
    # The digest confirms a reconstruction, and is a part of older names of stores.
    exclude = ("patches", "digest", "store_name", "label_pixels", "steps", "rounding_key")
    readonly_fields = ("commitment",)


@admin.register(TaskSpec)
class TaskSpecAdmin(ReadOnly):
    list_display = ("__str__", "digest", "created_at")
    list_filter = ("challenge",)


@admin.register(Page)
class PageAdmin(ReadOnly):
    list_display = ("__str__", "title")
    list_filter = ("challenge", "language")


@admin.register(PublishedResult)
class PublishedResultAdmin(ReadOnly):
    list_display = ("name", "challenge", "phase_slug", "kind", "miou", "source")
    list_filter = ("challenge", "kind")


@admin.register(Announcement)
class AnnouncementAdmin(ReadOnly):
    """News: written on the desk or shipped with the challenge."""

    list_display = ("__str__", "challenge", "published_at", "mail_to", "mailed_at", "created_by")
    list_filter = ("challenge",)
    readonly_fields = ("on_the_desk",)

    @admin.display(description=_("changed on the desk"))
    def on_the_desk(self, row: Announcement) -> str:
        """A link to the desk's announcements."""
        return page_link("web:desk-announcements", row.challenge.slug)
