"""The life of a submission: upload, submission, quota ledger, evaluation, score, rank."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from challenge.models.challenges import COUNTED_ZONES, GroundTruth, Phase, TaskSpec
from challenge.models.fields import WebAddressField
from challenge.models.jobs import JobEvent, LeasedJob, leased_while
from challenge.models.teams import Entry
from challenge.rules.lifecycle import QuotaMove, State
from scoring.engine.truth.split import CountedZones


class Upload(models.Model):
    """Bytes on their way (tus 1.0). The offset is the part file's size, not a column.

    ``purpose``: an archive to be submitted, or sealed labels for the labels worker.
    """

    class Purpose(models.TextChoices):
        ARCHIVE = "archive", _("archive")
        LABELS = "labels", _("sealed labels")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="uploads")
    purpose = models.CharField(
        max_length=8, choices=Purpose, default=Purpose.ARCHIVE, db_default=Purpose.ARCHIVE.value
    )
    length_bytes = models.BigIntegerField()
    original_name = models.CharField(max_length=255, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(db_index=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    archive = models.CharField(
        max_length=300, blank=True, help_text=_("name in storage once complete")
    )
    sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return str(self.id)


class Submission(models.Model):
    """An immutable upload to a phase with its method's fact sheet."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entry = models.ForeignKey(Entry, models.PROTECT, related_name="submissions")
    number = models.PositiveIntegerField(help_text=_("1, 2, 3 … within the entry"))
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="submissions"
    )
    created_at = models.DateTimeField(db_index=True)
    upload = models.OneToOneField(
        Upload, models.SET_NULL, null=True, blank=True, related_name="submission"
    )
    archive = models.CharField(max_length=300)
    archive_sha256 = models.CharField(max_length=64)
    archive_bytes = models.BigIntegerField()
    archive_removed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text=_("score, evidence and receipt stay")
    )
    original_name = models.CharField(max_length=255, blank=True)
    method_name = models.CharField(_("method"), max_length=120)
    method_description = models.TextField(_("description"), blank=True)
    external_data = models.TextField(_("external data used"), blank=True)
    code_url = WebAddressField(_("code"), blank=True)
    paper_url = WebAddressField(_("paper"), blank=True)
    baseline_seconds = models.FloatField(
        _("inference time of the baseline, s"), null=True, blank=True
    )
    method_seconds = models.FloatField(_("inference time of this method, s"), null=True, blank=True)
    hardware = models.CharField(_("measured on"), max_length=120, blank=True)
    is_baseline = models.BooleanField(default=False)
    is_final = models.BooleanField(default=False, help_text=_("chosen for the final ranking"))
    mail_on_result = models.BooleanField(default=False)
    mailed_at = models.DateTimeField(null=True, blank=True)
    disqualified_at = models.DateTimeField(null=True, blank=True)
    disqualified_reason = models.TextField(blank=True)
    disqualified_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["entry", "number"], name="submission_number_once"),
        ]
        indexes = [models.Index(fields=["archive_sha256"], name="submission_by_sha256")]

    def __str__(self) -> str:
        return f"#{self.number} {self.method_name}"


class QuotaLine(models.Model):
    """One line of an Entry's ledger, written under the Entry's lock.

    Used on a day = lines reserved on that UTC day less those refunded of the same day's
    reservations; ``day`` is always the day of the reservation.
    """

    entry = models.ForeignKey(Entry, models.CASCADE, related_name="quota_lines")
    submission = models.ForeignKey(Submission, models.CASCADE, related_name="quota_lines")
    move = models.CharField(max_length=16, choices=[(m.value, m.value) for m in QuotaMove])
    day = models.DateField()
    at = models.DateTimeField()
    reason = models.CharField(max_length=80, blank=True)

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["entry", "day"], name="quota_by_entry_and_day")]


class Evaluation(LeasedJob):
    """One submission against one ground truth under one task: the only thing with a state.

    A re-score for a new engine is a new revision; the latest scored one counts. The row is the
    queue (:class:`challenge.models.jobs.LeasedJob`).
    """

    class Priority(models.IntegerChoices):
        LIVE = 0, _("live submission")
        RESCORE = 1, _("re-score")

    submission = models.ForeignKey(Submission, models.CASCADE, related_name="evaluations")
    ground_truth = models.ForeignKey(GroundTruth, models.PROTECT, related_name="evaluations")
    task_spec = models.ForeignKey(TaskSpec, models.PROTECT, related_name="evaluations")
    revision = models.PositiveSmallIntegerField(
        default=1, help_text=_("above 1: scored again under the same truth and task")
    )
    state = models.CharField(
        max_length=16,
        choices=[(s.value, s.value) for s in State],
        default=State.QUEUED.value,
    )
    priority = models.SmallIntegerField(choices=Priority, default=Priority.LIVE)
    attempts_before = models.PositiveSmallIntegerField(
        default=0, help_text=_("attempts before an organiser queued it again")
    )
    patches_done = models.PositiveIntegerField(default=0)
    patches_total = models.PositiveIntegerField(default=0)
    problems = models.JSONField(default=list, blank=True)
    problems_more = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["submission", "ground_truth", "task_spec", "revision"],
                name="evaluation_once",
            ),
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in State]),
                name="evaluation_state_known",
            ),
            models.CheckConstraint(
                condition=leased_while(State.SCORING),
                name="evaluation_leased_while_scoring",
            ),
        ]
        indexes = [
            models.Index(
                fields=["priority", "queued_at"],
                condition=Q(state=State.QUEUED.value),
                name="evaluation_queue",
            ),
            models.Index(
                fields=["lease_until"],
                condition=Q(state=State.SCORING.value),
                name="evaluation_leases",
            ),
        ]

    def __str__(self) -> str:
        return f"evaluation {self.pk} ({self.state})"

    def event_columns(self) -> dict[str, Any]:
        """Return the worker of an attempt; a queued evaluation has none."""
        return {"worker": "" if self.state == State.QUEUED else self.worker}

    def log_ids(self) -> dict[str, Any]:
        """Return the ids by which a log names this evaluation and its submission."""
        return {"submission": str(self.submission_id), "evaluation": self.pk}


class EvaluationEvent(JobEvent):
    """One transition of an evaluation's state."""

    evaluation = models.ForeignKey(Evaluation, models.CASCADE, related_name="events")
    worker = models.CharField(max_length=120, blank=True)


class Score(models.Model):
    """What an evaluation found, in full precision. Pages get it through the disclosure policy.

    ``card`` is the engine's score card (matrix, classes, domains, zones, intervals, notes);
    ``class_ious`` repeats the scored classes' IoUs by class key for the leaderboard,
    ``domain_mious`` the mIoUs by domain: a card has a hundred kilobytes. ``rounded`` are the values
    that leave while the labels are hidden (:class:`challenge.rules.rounding.RoundedValues`), made
    once with the score; ``rounded_miou`` repeats their mIoU. ``counted_zones`` are the zones of the
    ground truth that it counts; a score of public zones has no domains, zones or matrix. Without an
    ``evaluation`` it is staged (:class:`StagedScore`): whoever gets to scores through evaluations
    does not see it.
    """

    # Not for readers to ask about: those who get there through an evaluation never see None.
    evaluation: models.OneToOneField[Evaluation, Evaluation] = models.OneToOneField(  # type: ignore[misc]
        Evaluation, models.CASCADE, null=True, related_name="score"
    )
    miou = models.FloatField(null=True)
    overall_accuracy = models.FloatField(null=True)
    mean_f1 = models.FloatField(null=True)
    miou_low = models.FloatField(null=True)
    miou_high = models.FloatField(null=True)
    class_ious = models.JSONField(default=dict)
    domain_mious = models.JSONField(default=dict)
    rounded_miou = models.FloatField(null=True)
    rounded = models.JSONField(default=dict)
    counted_zones = models.CharField(
        max_length=8,
        choices=COUNTED_ZONES,
        default=CountedZones.ALL.value,
        db_default=CountedZones.ALL.value,
    )
    card = models.JSONField()
    engine_version = models.CharField(max_length=32)
    content_digest = models.CharField(max_length=64, db_index=True)
    evidence_name = models.CharField(max_length=300, blank=True)
    seconds = models.FloatField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(miou__isnull=True) | (Q(miou__gte=0) & Q(miou__lte=1)),
                name="miou_is_a_fraction",
            ),
        ]


class StagedScore(models.Model):
    """A score that a re-score will publish, written before the phase is locked.

    ``batch`` names the attempt that writes it; what is left of one that ended is swept.
    """

    score = models.OneToOneField(Score, models.CASCADE, primary_key=True, related_name="staged")
    submission = models.ForeignKey(Submission, models.CASCADE, related_name="+")
    batch = models.CharField(max_length=64)
    staged_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["batch", "submission"], name="staged_once_a_batch"),
        ]


class RankLine(models.Model):
    """One team's line of a phase's leaderboard, recomputed whenever a score arrives.

    ``group`` numbers runs of neighbours whose paired difference is not significant;
    ``lead_probability`` is 1 - p / 2, with p the p-value of this line and the next ranked one being
    equal (jackknife over zones), kept so that a recomputation asks for new pairs alone.
    ``miou`` is the value that ranked it, as the leaderboard may show it: while labels are hidden
    it is not that of the score (``Phase.ranks_step``). After a reveal ``public_rank`` is the team's
    rank by the public zones, ``public_miou`` the public value of this line's submission.
    """

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="rank_lines")
    entry = models.ForeignKey(Entry, models.CASCADE, related_name="rank_lines")
    submission = models.ForeignKey(Submission, models.CASCADE, related_name="rank_lines")
    score = models.ForeignKey(Score, models.CASCADE, related_name="rank_lines")
    rank = models.PositiveIntegerField(
        null=True, help_text=_("null: not ranked (a baseline, a team of organisers)")
    )
    group = models.PositiveIntegerField(default=0)
    lead_probability = models.FloatField(null=True)
    submission_count = models.PositiveIntegerField(default=0)
    miou = models.FloatField()
    public_rank = models.PositiveIntegerField(null=True)
    public_miou = models.FloatField(null=True)

    class Meta:
        ordering = ["phase", "-miou"]
        constraints = [
            models.UniqueConstraint(
                fields=["phase", "entry"],
                condition=Q(rank__isnull=False),
                name="one_ranked_line_per_entry",
            ),
        ]
        indexes = [models.Index(fields=["phase", "-miou"], name="rank_lines_by_phase")]
