"""A challenge and what its organiser publishes: pages, task, truth, phases, results."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from challenge.models.patches import PatchesField
from challenge.rules import commitments
from challenge.rules.disclosure import Detail, Precision, Visibility
from challenge.rules.languages import LANGUAGES
from scoring.engine.truth.split import CountedZones

COUNTED_ZONES = [(zones.value, zones.value) for zones in CountedZones]


def every_language() -> list[str]:
    """Return the languages that a new challenge requires: all of them."""
    return list(LANGUAGES)


class Challenge(models.Model):
    """A segmentation challenge, loaded from its folder (``challenges/<slug>/``).

    ``title``, ``tagline`` and ``summary`` are {language: text}; ``facts`` holds what pages show
    beside the task: nomenclature, domains, downloads, links, dates (the file's own tables).
    """

    slug = models.SlugField(unique=True)
    title = models.JSONField(default=dict)
    tagline = models.JSONField(default=dict, blank=True)
    summary = models.JSONField(default=dict, blank=True)
    facts = models.JSONField(default=dict, blank=True)
    sort_order = models.IntegerField(default=0)
    is_published = models.BooleanField(_("published"), default=False)
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        default="UTC",
        db_default="UTC",
        help_text=_("in which the desk takes and shows the times of phases"),
    )
    required_languages = models.JSONField(
        _("required languages"),
        default=every_language,
        help_text=_("in which every page and text of the challenge must be written"),
    )
    terms_version = models.CharField(max_length=40, default="1")
    approval_required = models.BooleanField(_("registrations need approval"), default=False)
    team_size_limit = models.PositiveSmallIntegerField(null=True, blank=True)
    team_merge_until = models.DateTimeField(null=True, blank=True)
    team_archives_bytes = models.BigIntegerField(
        _("bytes of archives a team may keep here"),
        default=100_000_000_000,
        help_text=_("its kept archives and its members' uploads that were not submitted"),
    )
    source_digest = models.CharField(max_length=64, blank=True)
    loaded = models.JSONField(
        default=dict,
        blank=True,
        editable=False,
        help_text=_("digests of what the last loaded folder said, to tell who changed a field"),
    )
    was_published = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text=_("ever: its address stays, and it is not deleted on the desk"),
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["sort_order", "slug"]

    def __str__(self) -> str:
        return self.slug


class TaskSpec(models.Model):
    """An immutable version of what is to be predicted and how it is scored (data, never code)."""

    challenge = models.ForeignKey(Challenge, models.PROTECT, related_name="task_specs")
    version = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    data = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["challenge", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["challenge", "version"], name="spec_version_once"),
            models.UniqueConstraint(fields=["challenge", "digest"], name="spec_digest_once"),
        ]

    def __str__(self) -> str:
        return f"{self.challenge.slug} task v{self.version}"


def new_rounding_key() -> str:
    """Return 32 random bytes in hexadecimal."""
    return secrets.token_hex(32)


class GroundTruth(models.Model):
    """An immutable version of a phase's labels: their ids and digest, never a pixel.

    ``patches`` is a list of [patch id, domain, zone] in id order; ``store_name`` is relative to
    the workers' LABELS_DIR, which no web process can open. While labels are hidden their digest
    leaves nowhere, only the commitment to it (:mod:`challenge.rules.commitments`).
    ``labels_public``: whoever wants these labels can download them from the data set, so that no
    value can teach them. ``steps`` are those in which metrics leave while the labels are hidden
    (:class:`challenge.rules.rounding.Steps`; empty: made from the first score), ``rounding_key``
    the secret of that rounding, in hexadecimal.
    With a split (``split_commitment``) the numbers of public zones, patches and pixels are here;
    which zones they are, ``public_zones`` (``domain/zone``), and ``split_nonce`` come at the reveal
    (:mod:`scoring.engine.truth.split`).
    """

    challenge = models.ForeignKey(Challenge, models.PROTECT, related_name="ground_truths")
    name = models.SlugField(help_text=_("which set of labels this is: practice, test …"))
    version = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    commitment_key = models.CharField(
        max_length=64,
        default=commitments.new_key,
        editable=False,
        help_text=_("32 bytes in hexadecimal; published once the labels are not hidden"),
    )
    store_name = models.CharField(max_length=200)
    patch_count = models.PositiveIntegerField()
    patches = PatchesField()
    labels_public = models.BooleanField(_("labels are public"), default=False, db_default=False)
    label_pixels = models.JSONField(default=dict, blank=True)
    store_bytes = models.BigIntegerField(default=0)
    steps = models.JSONField(default=dict, blank=True, editable=False)
    rounding_key = models.CharField(max_length=64, default=new_rounding_key, editable=False)
    full_precision_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("when values of these labels first could leave in full precision"),
    )
    split_commitment = models.CharField(max_length=64, blank=True, default="", editable=False)
    zone_count = models.PositiveIntegerField(default=0, editable=False)
    public_zone_count = models.PositiveIntegerField(default=0, editable=False)
    public_patch_count = models.PositiveIntegerField(default=0, editable=False)
    public_pixels = models.BigIntegerField(default=0, editable=False)
    public_zones = models.JSONField(default=list, blank=True, editable=False)
    split_nonce = models.CharField(max_length=64, blank=True, default="", editable=False)
    given_commitment = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text=_("of imported labels that were hidden: their digest is not known here"),
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["challenge", "name", "-version"]
        constraints = [
            models.UniqueConstraint(
                fields=["challenge", "name", "version"], name="truth_version_once"
            ),
            models.UniqueConstraint(
                fields=["challenge", "name", "digest"], name="truth_digest_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.challenge.slug} {self.name} v{self.version}"

    @property
    def is_split(self) -> bool:
        return bool(self.split_commitment)

    @property
    def digest_is_known(self) -> bool:
        """Whether ``digest`` is that of the labels; not where they were hidden when imported."""
        return not self.given_commitment

    @property
    def commitment(self) -> str:
        """The commitment to the labels, in hexadecimal."""
        if self.given_commitment:
            return self.given_commitment
        return commitments.commitment(self.digest, key=self.commitment_key)


class Phase(models.Model):
    """A window in which teams submit against one ground truth.

    Open for ``opens_at <= now < closes_at``. Limits are per Entry; days are UTC days; null means
    no limit. ``ids`` (public expected ids) come from the ground truth, or before it is installed
    from ``public_patches`` ([id, domain, zone] lists). ``labels_public`` is that of the ground
    truth, or before it is installed what the challenge file says of it. ``counted_zones`` are
    those that its scores count: the public ones where its ground truth is split, the private ones
    from the reveal on (``revealed_at``). ``settled_at`` is when the phase was settled after its
    close (:mod:`challenge.services.challenges.settlement`). ``frozen_at``: the leaderboard shows
    what was submitted until then.
    """

    # The enums are those of rules.disclosure; here stand the labels that organisers read.
    VISIBILITIES = (
        (Visibility.PUBLIC.value, _("everyone, at any time")),
        (Visibility.AFTER_CLOSE.value, _("everyone, once the phase is settled")),
        (Visibility.OWN_TEAM.value, _("each team its own line alone")),
        (Visibility.ORGANISERS.value, _("organisers alone")),
    )
    DETAILS = (
        (Detail.FULL.word, _("mIoU, classes, domains and confusion matrix")),
        (Detail.DOMAINS.word, _("mIoU, classes and domains")),
        (Detail.CLASSES.word, _("mIoU and classes")),
        (Detail.MIOU.word, _("mIoU alone")),
    )
    PRECISIONS = (
        (Precision.LABELS_CLOSED.value, _("every phase on the same labels is closed")),
        (Precision.PHASE_CLOSED.value, _("this phase is closed")),
    )

    challenge = models.ForeignKey(Challenge, models.PROTECT, related_name="phases")
    slug = models.SlugField()
    name = models.JSONField(default=dict)
    summary = models.JSONField(default=dict, blank=True)
    sort_order = models.IntegerField(default=0)
    is_published = models.BooleanField(_("published"), default=False)
    opens_at = models.DateTimeField(_("opens at"))
    closes_at = models.DateTimeField(_("closes at"), null=True, blank=True)
    daily_limit = models.PositiveIntegerField(_("submissions a day"), null=True, blank=True)
    total_limit = models.PositiveIntegerField(_("submissions in all"), null=True, blank=True)
    invalid_daily_limit = models.PositiveIntegerField(
        _("invalid submissions a day"), null=True, blank=True, default=50
    )
    finals_limit = models.PositiveSmallIntegerField(
        _("submissions a team may choose"),
        null=True,
        blank=True,
        help_text=_("set: once settled, only chosen submissions count; empty: the best one counts"),
    )
    archive_limit_bytes = models.BigIntegerField(default=5_000_000_000)
    visibility = models.CharField(
        max_length=16, choices=VISIBILITIES, default=Visibility.PUBLIC.value
    )
    detail = models.CharField(
        _("shown to participants before the close"),
        max_length=16,
        choices=DETAILS,
        default=Detail.FULL.word,
    )
    precision = models.CharField(
        _("figures in full precision once"),
        max_length=16,
        choices=PRECISIONS,
        default=Precision.LABELS_CLOSED.value,
        help_text=_(
            "a score in full precision tells the labels of a patch to who submits two archives "
            "that differ in it: in another phase on these labels that is open, too"
        ),
    )
    labels_public = models.BooleanField(
        _("labels are public"),
        default=False,
        db_default=False,
        editable=False,
        help_text=_("set by the challenge file; every figure is shown at any time"),
    )
    labels_open_until = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("when the last of the other phases on the same labels closes"),
    )
    late_until = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("when the last late entry ends that organisers granted"),
    )
    miou_step = models.FloatField(
        null=True, blank=True, editable=False, help_text=_("of the labels, while they are hidden")
    )
    counted_zones = models.CharField(
        max_length=8,
        choices=COUNTED_ZONES,
        default=CountedZones.ALL.value,
        db_default=CountedZones.ALL.value,
        editable=False,
    )
    revealed_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Imported with rounded values alone: they stay so until everything is scored again here.
    lacks_full_values = models.BooleanField(default=False, db_default=False, editable=False)
    grace_minutes = models.PositiveIntegerField(
        _("minutes of grace before the settlement"),
        default=60,
        db_default=60,
        help_text=_(
            "after the close and the last verdict; until then teams choose their submissions"
        ),
    )
    settled_at = models.DateTimeField(null=True, blank=True, editable=False)
    frozen_at = models.DateTimeField(
        _("leaderboard as of"),
        null=True,
        blank=True,
        help_text=_("set: later submissions do not show on the leaderboard"),
    )
    freeze_hides_own = models.BooleanField(
        _("teams do not see their own later scores while the leaderboard is frozen"),
        default=False,
        db_default=False,
    )
    archives_kept_days = models.PositiveIntegerField(
        _("days that archives are kept after the close"),
        default=90,
        help_text=_("of submissions neither best nor chosen; scores and receipts stay"),
    )
    inference_ratio_limit = models.FloatField(null=True, blank=True)
    ground_truth = models.ForeignKey(
        GroundTruth, models.PROTECT, null=True, blank=True, related_name="phases"
    )
    task_spec = models.ForeignKey(TaskSpec, models.PROTECT, null=True, related_name="phases")
    public_patches = PatchesField(default=list, blank=True)
    ranked_at = models.DateTimeField(null=True, blank=True, editable=False)
    ranks_version = models.PositiveIntegerField(default=0, editable=False)
    # the last version of the final result; 0: none was signed
    result_version = models.PositiveSmallIntegerField(default=0, editable=False)
    ranks_step = models.FloatField(
        null=True,
        blank=True,
        editable=False,
        help_text=_("step of the mIoU in which ranks were made; empty: full precision"),
    )

    class Meta:
        ordering = ["challenge", "sort_order", "opens_at"]
        constraints = [
            models.UniqueConstraint(fields=["challenge", "slug"], name="phase_slug_once"),
            models.CheckConstraint(
                condition=Q(closes_at__isnull=True) | Q(closes_at__gt=F("opens_at")),
                name="phase_closes_after_it_opens",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.challenge.slug}/{self.slug}"

    @property
    def last_close(self) -> datetime | None:
        """When the last team can submit: the close, or the end of a late entry after it."""
        if self.closes_at is None or self.late_until is None:
            return self.closes_at
        return max(self.closes_at, self.late_until)

    @property
    def awaits_reveal(self) -> bool:
        """Whether its scores count public zones until the private ones are revealed."""
        return self.counted_zones == CountedZones.PUBLIC

    @property
    def choosing_minutes(self) -> int:
        """Minutes after the close and the last verdict in which teams still choose.

        None where there is nothing to choose, since the best submission counts.
        """
        return 0 if self.finals_limit is None else self.grace_minutes

    @property
    def settlement_recorded(self) -> bool:
        """Whether it was settled after its present close; one before a former close is void."""
        if self.settled_at is None or self.closes_at is None:
            return False
        return self.settled_at >= self.closes_at
