"""Submissions, their evaluations and uploads: read here, changed on the site's own pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from challenge.admin.base import ReadOnly, ReadOnlyInline, page_link
from challenge.models import (
    Evaluation,
    EvaluationEvent,
    QuotaLine,
    Score,
    Submission,
    Upload,
)
from challenge.rules import disclosure
from challenge.rules.disclosure import Viewer
from challenge.rules.lifecycle import State
from challenge.selectors import phase_disclosure


class EvaluationInline(ReadOnlyInline):
    model = Evaluation
    fields = (
        "id",
        "state",
        "ground_truth",
        "task_spec",
        "revision",
        "attempt",
        "worker",
        "error_code",
        "queued_at",
        "finished_at",
    )
    readonly_fields = fields


class QuotaInline(ReadOnlyInline):
    model = QuotaLine
    fields = ("move", "day", "at", "reason")
    show_change_link = False


class SamePixels(admin.SimpleListFilter):
    """Submissions whose decoded pixels another team of the challenge submitted too."""

    title = _("same pixels as another team")
    parameter_name = "same_pixels"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in {"yes", "no"}:
            return queryset
        return queryset.filter(has_twin=self.value() == "yes")


@admin.register(Submission)
class SubmissionAdmin(ReadOnly):
    """What was handed in; its page cancels it, the desk disqualifies and reinstates."""

    list_display = (
        "__str__",
        "phase",
        "team",
        "created_at",
        "state",
        "miou",
        "same_pixels",
        "is_baseline",
        "disqualified_at",
    )
    list_filter = (
        "entry__phase",
        SamePixels,
        "is_baseline",
        ("disqualified_at", admin.EmptyFieldListFilter),
        ("archive_removed_at", admin.EmptyFieldListFilter),
    )
    search_fields = ("id", "entry__team__name", "method_name", "archive_sha256")
    date_hierarchy = "created_at"
    list_select_related = ("entry__team", "entry__phase__challenge")
    inlines = (EvaluationInline, QuotaInline)
    exclude = ("archive", "upload")
    readonly_fields = ("archive_removed_at", "twins", "on_the_site")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Submission]:
        last = Evaluation.objects.filter(submission=OuterRef("pk")).order_by("-pk")
        scored = last.filter(state=State.SCORED.value)
        found: QuerySet[Submission] = super().get_queryset(request)
        return found.annotate(
            last_state=Subquery(last.values("state")[:1]),
            last_miou=Subquery(last.values("score__miou")[:1]),
            last_rounded_miou=Subquery(last.values("score__rounded_miou")[:1]),
            last_digest=Subquery(scored.values("score__content_digest")[:1]),
        ).annotate(
            has_twin=Exists(
                _twins(
                    OuterRef("last_digest"),
                    OuterRef("entry__team"),
                    OuterRef("entry__phase__challenge"),
                )
            )
        )

    @admin.display(description=_("phase"), ordering="entry__phase")
    def phase(self, row: Submission) -> str:
        return str(row.entry.phase)

    @admin.display(description=_("team"), ordering="entry__team__name")
    def team(self, row: Submission) -> str:
        return row.entry.team.name

    @admin.display(description=_("state"), ordering="last_state")
    def state(self, row: Any) -> str:
        return row.last_state or ""

    @admin.display(description="mIoU", ordering="last_rounded_miou")
    def miou(self, row: Any) -> str:
        policy = phase_disclosure.policy_for(row.entry.phase, viewer=Viewer.ORGANISER)
        shown = disclosure.disclose_miou(row.last_miou, row.last_rounded_miou, policy=policy)
        return "–" if shown is None else f"{shown:.4f}"

    @admin.display(description=_("same pixels as another team"), boolean=True, ordering="has_twin")
    def same_pixels(self, row: Any) -> bool:
        return bool(row.has_twin)

    @admin.display(description=_("same pixels as"), empty_value="–")
    def twins(self, row: Any) -> str:
        entry = row.entry
        scores = _twins(row.last_digest, entry.team_id, entry.phase.challenge_id)
        return format_html_join(
            ", ",
            '<a href="{}">{}: {}</a>',
            (
                (
                    reverse("admin:challenge_submission_change", args=[submission.pk]),
                    submission.entry.team.name,
                    submission,
                )
                for submission in Submission.objects.filter(
                    evaluations__score__in=scores.values("pk")
                )
                .select_related("entry__team", "entry__phase__challenge")
                .distinct()
            ),
        )

    @admin.display(description=_("changed on the site"))
    def on_the_site(self, row: Submission) -> str:
        """Links to the submission's page and to its team's on the desk."""
        entry = row.entry
        desk = page_link("web:desk-team", entry.phase.challenge.slug, entry.team_id)
        return format_html("{}, {}", page_link("web:submission", row.pk), desk)


def _twins(digest: Any, team: Any, challenge: Any) -> QuerySet[Score]:
    """Return other teams' scores of the very same pixels, in the same challenge."""
    return (
        Score.objects.filter(
            content_digest=digest, evaluation__submission__entry__phase__challenge=challenge
        )
        .exclude(content_digest="")
        .exclude(evaluation__submission__entry__team=team)
    )


class EventInline(ReadOnlyInline):
    model = EvaluationEvent
    fields = ("at", "from_state", "to_state", "attempt", "actor", "worker", "reason")
    show_change_link = False


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnly):
    list_display = (
        "id",
        "submission",
        "state",
        "priority",
        "revision",
        "attempt",
        "worker",
        "stage",
        "patches_done",
        "patches_total",
        "error_code",
        "queued_at",
    )
    list_filter = ("state", "priority", "error_code", "submission__entry__phase")
    list_select_related = ("submission",)
    search_fields = ("submission__id", "worker")
    inlines = (EventInline,)


@admin.register(Score)
class ScoreAdmin(ReadOnly):
    """Figures as organisers may see them: here too an open phase's are rounded."""

    list_display = ("id", "evaluation", "miou_shown", "engine_version", "content_digest", "seconds")
    list_filter = ("engine_version",)
    search_fields = ("content_digest", "evaluation__submission__id")
    list_select_related = ("evaluation__submission__entry__phase__challenge",)
    fields = (
        "evaluation",
        "miou_shown",
        "class_ious_shown",
        "engine_version",
        "content_digest",
        "evidence_name",
        "seconds",
        "created_at",
    )
    readonly_fields = ("miou_shown", "class_ious_shown")

    @admin.display(description="mIoU", ordering="rounded_miou")
    def miou_shown(self, row: Score) -> float | None:
        return disclosure.disclose_miou(row.miou, row.rounded_miou, policy=_policy(row))

    @admin.display(description=_("IoU by class"))
    def class_ious_shown(self, row: Score) -> str:
        ious = disclosure.disclose_class_ious(row.class_ious, row.rounded, policy=_policy(row))
        return ", ".join(f"{key} {iou}" for key, iou in ious.items())


def _policy(row: Score) -> disclosure.DisclosurePolicy:
    phase = row.evaluation.submission.entry.phase
    return phase_disclosure.policy_for(phase, viewer=Viewer.ORGANISER, now=timezone.now())


@admin.register(Upload)
class UploadAdmin(ReadOnly):
    """Bytes on their way: a person's, of no challenge yet."""

    list_display = ("id", "user", "length_bytes", "created_at", "expires_at", "completed_at")
