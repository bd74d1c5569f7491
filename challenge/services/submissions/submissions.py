"""Submitting, withdrawing, disqualifying, choosing for the final ranking: for page and API."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import IO, Any

from django.db import transaction
from django.db.models import Exists, Max, OuterRef
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Entry, Evaluation, Phase, Submission, Team, Upload, User
from challenge.rules import plain_text
from challenge.rules.lifecycle import OPEN_STATES, State
from challenge.rules.quota import Reason
from challenge.rules.roles import Act
from challenge.rules.web_address import is_web_address
from challenge.rules.windows import Window
from challenge.selectors import grants, people, phase_disclosure, roles
from challenge.services import phase_lock
from challenge.services.storage import archives, uploads
from challenge.services.storage import limits as storage_limits
from challenge.services.storage.archives import StoredArchive
from challenge.services.submissions import disqualifications, evaluations, quota
from challenge.services.teams import disqualifications as team_disqualifications
from challenge.services.teams import teams

NAME_CHARACTERS = 120
TEXT_CHARACTERS = 10_000
URL_CHARACTERS = 200
# States of an evaluation with which a submission may be chosen: it has a score or may get one.
MAY_DECIDE = frozenset({State.SCORED, *OPEN_STATES})
MULTILINE_FIELDS = frozenset({"method_description", "external_data"})


@dataclass(frozen=True)
class MethodFacts:
    """What the participant says of the submission.

    ``baseline_seconds`` and ``method_seconds`` are self-declared inference times on the same
    ``hardware``; their ratio is shown, never a reason to refuse.
    """

    method_name: str
    method_description: str = ""
    external_data: str = ""
    code_url: str = ""
    paper_url: str = ""
    baseline_seconds: float | None = None
    method_seconds: float | None = None
    hardware: str = ""

    def checked(self) -> MethodFacts:
        """Return the facts with texts trimmed, without control and direction characters.

        Raises Refusal ``method-name-missing``, ``field-too-long``, ``url-invalid`` or
        ``seconds-invalid``, whose ``field`` names the field.
        """
        values: dict[str, Any] = asdict(self)
        for name, value in values.items():
            if isinstance(value, str):
                clean = plain_text.lines if name in MULTILINE_FIELDS else plain_text.one_line
                values[name] = clean(value)
        if not values["method_name"] or len(values["method_name"]) > NAME_CHARACTERS:
            raise refuse("method-name-missing", limit=NAME_CHARACTERS, field="method_name")
        limits = {
            "hardware": NAME_CHARACTERS,
            "code_url": URL_CHARACTERS,
            "paper_url": URL_CHARACTERS,
        }
        for name in ("method_description", "external_data", *limits):
            limit = limits.get(name, TEXT_CHARACTERS)
            if len(values[name]) > limit:
                raise refuse("field-too-long", field=name, length=len(values[name]), limit=limit)
        for name in ("code_url", "paper_url"):
            if values[name] and not is_web_address(values[name]):
                raise refuse("url-invalid", field=name)
        for name in ("baseline_seconds", "method_seconds"):
            seconds = values[name]
            if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
                raise refuse("seconds-invalid", field=name)
        return MethodFacts(**values)


def precheck(
    *, user: User, phase: Phase, archive_bytes: int = 1, now: datetime | None = None
) -> Team:
    """Refuse what can be refused before the upload; return the team that would submit.

    :func:`submit` checks again under the entry's lock, and may refuse all the same.
    """
    now = now or timezone.now()
    team = teams.competing_team(user=user, phase=phase)
    if phase.ground_truth_id is None or phase.task_spec_id is None:
        raise refuse("phase-not-ready")
    _check_window(phase, team, now=now)
    if archive_bytes > phase.archive_limit_bytes:
        raise refuse("archive-too-large", limit_bytes=phase.archive_limit_bytes)
    quota.check(team, phase=phase, now=now)
    storage_limits.check_team(team, more_bytes=archive_bytes, now=now)
    return team


def submit(
    *,
    user: User,
    phase: Phase,
    archive: StoredArchive,
    method: MethodFacts,
    upload: Upload | None = None,
    mail_on_result: bool = False,
    is_baseline: bool = False,
    repeat: bool = True,
    now: datetime | None = None,
) -> Submission:
    """Accept a stored archive into a phase: from here on it is scored exactly once.

    In this order: taking part and approved; the entry's lock; the phase's window; the quota; then
    submission, evaluation, ledger line and event in one transaction; workers are notified after
    the commit. ``is_baseline`` (shown beside the ranks, exempt from window and quota) is for the
    platform's own team. Without ``repeat`` an archive that the team submitted before is refused
    (``archive-repeated``). Raises Refusal and its subclasses (codes in errors.CATALOGUE): then
    nothing was written, and the caller deletes the archive.
    """
    now = now or timezone.now()
    method = method.checked()
    if archive.bytes == 0:
        raise refuse("archive-empty")
    with transaction.atomic():
        phase_lock.share(phase.pk)
        entry = _lock_own_entry(user, phase)
        team = entry.team
        as_baseline = is_baseline and team.is_platform
        if is_baseline and not team.is_platform:
            raise refuse("baseline-not-allowed")
        # Under the lock: the team may have been disqualified since it was asked for.
        team_disqualifications.check(team)
        # Read under the lock: an organiser may have changed the window since the page was shown.
        phase = entry.phase
        if phase.ground_truth is None or phase.task_spec is None:
            raise refuse("phase-not-ready")
        if not as_baseline:
            _check_window(phase, team, now=now)
            if phase.settlement_recorded:  # the clock was read before, the lock came after
                raise refuse("phase-closed", closes_at=f"{phase.closes_at:%Y-%m-%d %H:%M}")
            quota.check(team, phase=phase, now=now)
        if archive.bytes > phase.archive_limit_bytes:
            raise refuse("archive-too-large", limit_bytes=phase.archive_limit_bytes)
        storage_limits.check_team(team, more_bytes=archive.bytes, now=now)
        if upload is not None:
            uploads.lock_unsubmitted(upload)
        if not repeat:
            _refuse_repeated(entry, archive)
        last = entry.submissions.aggregate(last=Max("number"))["last"]
        submission = Submission.objects.create(
            entry=entry,
            number=(last or 0) + 1,
            submitted_by=user,
            created_at=now,
            upload=upload,
            archive=archive.name,
            archive_sha256=archive.sha256,
            archive_bytes=archive.bytes,
            original_name=archive.original_name,
            is_baseline=is_baseline,
            mail_on_result=mail_on_result,
            **asdict(method),
        )
        quota.reserve(entry, submission=submission, now=now, reason=Reason.SUBMITTED)
        evaluations.enqueue(
            submission=submission,
            ground_truth=phase.ground_truth,
            task_spec=phase.task_spec,
            actor=user,
            now=now,
        )
    return submission


def _refuse_repeated(entry: Entry, archive: StoredArchive) -> None:
    """Refuse bytes that the entry's team submitted before and that wait or were scored."""
    earlier = (
        entry.submissions.filter(
            archive_sha256=archive.sha256,
            evaluations__state__in=[State.QUEUED, State.SCORING, State.SCORED],
        )
        .order_by("number")
        .first()
    )
    if earlier is not None:
        raise refuse("archive-repeated", number=earlier.number, field="again")


def submit_upload(
    *,
    user: User,
    phase: Phase,
    upload: Upload,
    method: MethodFacts,
    mail_on_result: bool = False,
    repeat: bool = True,
    now: datetime | None = None,
) -> Submission:
    """Submit a person's own complete upload, once.

    Raises what :func:`submit` and ``uploads.archive_of`` raise (``upload-used`` names the
    submission, so that a client that lost the answer finds it). After a refusal the upload stays.
    """
    archive = uploads.archive_of(user=user, upload_id=upload.pk, now=now)
    return submit(
        user=user,
        phase=phase,
        archive=archive,
        method=method,
        upload=upload,
        mail_on_result=mail_on_result,
        repeat=repeat,
        now=now,
    )


def submit_stream(
    *,
    user: User,
    phase: Phase,
    stream: IO[bytes],
    original_name: str,
    method: MethodFacts,
    mail_on_result: bool = False,
    repeat: bool = True,
    now: datetime | None = None,
) -> Submission:
    """Store a stream (an ordinary form post) and submit it; a refused archive is deleted."""
    method = method.checked()
    precheck(user=user, phase=phase, now=now)
    archive = archives.store(
        stream, original_name=original_name, limit_bytes=phase.archive_limit_bytes
    )
    try:
        return submit(
            user=user,
            phase=phase,
            archive=archive,
            method=method,
            mail_on_result=mail_on_result,
            repeat=repeat,
            now=now,
        )
    except BaseException:
        archives.delete(archive.name)
        raise


def cancel(*, submission: Submission, actor: User, now: datetime | None = None) -> None:
    """Withdraw a queued submission (its team, or ``Act.VERDICTS``); the quota is refunded.

    A team cannot cancel a re-score, also where an organiser is in it: it would keep a score that
    the corrected labels or engine lower. Raises NotFound for strangers, what `roles.require`
    raises for organisers, Conflict ``illegal-move`` when it is not queued.
    """
    if people.viewer_of_submission(actor, submission) is None:
        raise refuse("not-found")
    as_team = people.is_of_team(actor, submission)
    if not as_team:
        roles.require(actor, Act.VERDICTS, submission.entry.phase.challenge)
    with transaction.atomic():
        evaluations.cancel(submission=submission, actor=actor, live_only=as_team, now=now)
        if not as_team:
            disqualifications.record(submission, "submission.cancel", actor=actor, now=now)


def choose_final(
    *, submission: Submission, actor: User, chosen: bool, now: datetime | None = None
) -> None:
    """Choose a submission for the final ranking, or drop the choice, until the settlement.

    Also one that waits for its score, so that what was queued at the close can be chosen. At most
    ``phase.finals_limit`` per entry, not counting those that came to nothing; in a phase without
    one the best submission counts. Raises Conflict ``finals-not-used``, ``finals-limit``,
    ``finals-not-scored`` or ``finals-closed``, NotFound for people who are not in the team.
    """
    now = now or timezone.now()
    if people.membership_of(actor, submission.entry.phase.challenge) is None:
        raise refuse("not-found")
    with transaction.atomic():
        phase_lock.share(submission.entry.phase_id)
        entry = teams.lock_entry(team=submission.entry.team, phase=submission.entry.phase)
        if not entry.team.memberships.filter(user=actor).exists():
            raise refuse("not-found")
        phase = entry.phase
        if phase_disclosure.is_settled(phase, now=now):
            raise refuse("finals-closed")
        if chosen:
            limit = phase.finals_limit
            if limit is None:
                raise refuse("finals-not-used")
            able = Evaluation.objects.filter(submission=OuterRef("pk"), state__in=MAY_DECIDE)
            if not entry.submissions.filter(Exists(able), pk=submission.pk).exists():
                raise refuse("finals-not-scored")
            others = entry.submissions.filter(Exists(able), is_final=True)
            if others.exclude(pk=submission.pk).count() >= limit:
                raise refuse("finals-limit", limit=limit)
        Submission.objects.filter(pk=submission.pk).update(is_final=chosen)
    submission.is_final = chosen


def _lock_own_entry(user: User, phase: Phase) -> Entry:
    """The entry with which a person submits, locked; refused as by ``teams.competing_team``."""
    while True:
        team = teams.competing_team(user=user, phase=phase)
        entry = teams.lock_entry(team=team, phase=phase)
        if entry.team.memberships.filter(user=user).exists():
            return entry
        # The team was merged before the lock was ours: try again with the person's new team.


def _check_window(phase: Phase, team: Team, *, now: datetime) -> None:
    window = grants.window_of(phase, team, now=now)
    if window is Window.UPCOMING:
        raise refuse("phase-upcoming", opens_at=f"{phase.opens_at:%Y-%m-%d %H:%M}")
    if window is Window.CLOSED:
        raise refuse("phase-closed", closes_at=f"{phase.closes_at:%Y-%m-%d %H:%M}")
