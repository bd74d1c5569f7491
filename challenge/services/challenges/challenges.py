"""Loading a challenge's folder into the database: created or updated, never half.

What the folder changed since it was last loaded is written; what the desk changed since then is
kept, and where both changed a field somebody must say what counts. What the folder does not
mention (registrations, submissions, announcements written in the browser, phases added there)
stays untouched.
"""

from __future__ import annotations

import copy
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from challenge.errors import Refusal
from challenge.models import (
    Announcement,
    Challenge,
    Evaluation,
    Page,
    Phase,
    PublishedResult,
    TaskSpec,
    User,
)
from challenge.rules import disclosure, phase_consequences
from challenge.rules.disclosure import Precision
from challenge.selectors import phase_facts
from challenge.services import audit
from challenge.services.challenges import (
    challenge_file,
    kits,
    page_editing,
    phases,
    public_labels,
)
from challenge.services.challenges.challenge_file import ChallengeFile, PhaseFile
from challenge.services.challenges.load_report import (
    LoadConflicts,
    LoadReport,
    LoadUnconfirmed,
    Take,
    digest,
    put,
    remove,
)
from challenge.services.challenges.toml_document import FileMistakes, Mistake
from challenge.services.leaderboard import full_precision
from scoring.engine.task import specification as task_spec


def load(
    path: Path,
    *,
    dry_run: bool = False,
    take: Take | None = None,
    confirmed: str = "",
    actor: User | None = None,
) -> LoadReport:
    """Create or update the challenge described in folder ``path``; a second time changes nothing.

    With ``dry_run`` the same report is made and nothing is kept. ``take`` says what counts where
    the folder and the desk both changed a field; ``confirmed`` is the report's confirmation where
    changes of phases have consequences. Raises `toml_document.FileMistakes` with every
    mistake's file and line, before anything is written, `LoadConflicts` and `LoadUnconfirmed`.
    """
    file = challenge_file.read(path)
    report = save(file, dry_run=dry_run, take=take, confirmed=confirmed, actor=actor)
    if not dry_run:
        _kits(file, report)
    return report


def _kits(file: ChallengeFile, report: LoadReport) -> None:
    """Publish what phases name as their kits; the rest of the folder is loaded by now."""
    for one in file.phases:
        if one.kit is None:
            continue
        phase = Phase.objects.select_related("challenge", "task_spec", "ground_truth").get(
            challenge__slug=file.slug, slug=one.slug
        )
        try:
            done = kits.publish(phase=phase, source=one.kit, actor=None)
        except (Refusal, OSError) as error:
            report.remarks.append(f"phase {one.slug}: its kit was not published: {error}")
            continue
        if done.changed:
            images, examples = done.kit.image_count, done.kit.example_count
            report.changes.append(
                f"phase {one.slug}: kit: {images} images, {examples} labelled examples"
            )


@transaction.atomic
def save(
    file: ChallengeFile,
    *,
    dry_run: bool = False,
    take: Take | None = None,
    confirmed: str = "",
    actor: User | None = None,
) -> LoadReport:
    """Write what `challenge_file.read` found, in one transaction.

    Raises `LoadConflicts` unless ``take`` settles them, `LoadUnconfirmed` unless ``confirmed``
    confirms exactly what changes of phases mean; nothing is written then.
    """
    report = LoadReport(file.slug, take=take)
    # Not its key: who changes a phase on the desk writes into the trail of the challenge.
    locked = Challenge.objects.select_for_update(no_key=True)
    challenge = locked.filter(slug=file.slug).first()
    report.created = challenge is None
    was_published = challenge is not None and challenge.was_published
    report.loaded = challenge.loaded if challenge is not None else {}
    challenge = put(
        challenge or Challenge(slug=file.slug),
        {
            "title": file.head.title,
            "tagline": file.head.tagline,
            "summary": file.head.summary,
            "facts": file.facts,
            "sort_order": file.head.order,
            "is_published": file.head.published,
            "was_published": file.head.published or was_published,
            "time_zone": file.head.time_zone,
            "required_languages": list(file.head.languages),
            "terms_version": file.head.terms_version,
            "approval_required": file.head.approval_required,
            "team_size_limit": file.head.team_size_limit,
            "team_merge_until": file.head.team_merge_until,
            "team_archives_bytes": file.head.team_archives_bytes,
            "source_digest": file.digest,
        },
        "challenge",
        report,
        quiet={"source_digest", "was_published"},
    )
    spec = _task_spec(challenge, file, report)
    for order, phase in enumerate(file.phases):
        _phase(challenge, phase, spec, order, report)
    _extra_phases(challenge, file, report)
    _public_labels(challenge, report)
    _shared_labels(challenge, report)
    _children(challenge, file, report, actor=actor)
    if report.conflicts and not dry_run:
        raise LoadConflicts(report.conflicts)
    if confirmed != report.confirmation and not dry_run:
        raise LoadUnconfirmed(report.consequences, report.confirmation)
    if challenge.loaded != report.snapshot:
        challenge.loaded = report.snapshot
        challenge.save(update_fields=["loaded"])
    if report.changes and not dry_run:
        audit.record(
            "challenge.load",
            actor=actor,
            challenge=challenge,
            target=challenge,
            source_digest=file.digest,
            changes=report.changes,
            confirmed=[f"{phase}:{one.code}" for phase, one in report.consequences],
        )
    transaction.set_rollback(dry_run)
    return report


def _task_spec(challenge: Challenge, file: ChallengeFile, report: LoadReport) -> TaskSpec | None:
    """The stored version of the file's task; None for a draft that has none in file or database."""
    if file.spec is None:
        if TaskSpec.objects.filter(challenge=challenge).exists():
            text = "task: is missing, and the challenge has one; add the table [task] to the file"
            raise FileMistakes([Mistake(challenge_file.FILE_NAME, 0, text)])
        report.remarks.append("the task is not written yet: add the table [task], or use the desk")
        return None
    return put_task(challenge, file.spec, report)


def put_task(challenge: Challenge, wanted: task_spec.TaskSpec, report: LoadReport) -> TaskSpec:
    """Return the stored version of a task; a new one if what is scored differs from all."""
    data = wanted.to_json()
    same = TaskSpec.objects.filter(challenge=challenge, digest=wanted.digest).first()
    if same is not None:
        # names, colours and the ids of other challenges do not change a score: no new version
        return put(same, {"data": data}, f"task v{same.version}", report)
    last = TaskSpec.objects.filter(challenge=challenge).order_by("-version").first()
    spec = TaskSpec.objects.create(
        challenge=challenge,
        version=last.version + 1 if last else 1,
        digest=wanted.digest,
        data=data,
    )
    report.snapshot[f"task v{spec.version}"] = {"data": digest(data)}
    report.changes.append(f"task v{spec.version}: created ({spec.digest[:12]})")
    return spec


def _phase(
    challenge: Challenge, file: PhaseFile, spec: TaskSpec | None, order: int, report: LoadReport
) -> None:
    what = f"phase {file.slug}"
    stored = Phase.objects.select_for_update(of=("self",))  # as the desk, which may be saving
    phase = stored.filter(challenge=challenge, slug=file.slug).first()
    if (
        phase is not None
        and spec is not None
        and phase.task_spec_id not in (None, spec.pk)
        and Evaluation.objects.filter(submission__entry__phase=phase).exists()
    ):
        # A board never empties: the new task takes over once the submissions are scored with it.
        report.remarks.append(
            f"{what}: its scores were made with another version of the task, which stays in "
            f"force; re-score them: manage.py rescore_phase {challenge.slug} {file.slug}"
        )
        spec = phase.task_spec or spec
    _check_window(phase, file, what)
    former = copy.copy(phase)
    phase = put(
        phase or Phase(challenge=challenge, slug=file.slug),
        {
            "name": file.table.name,
            "summary": file.table.summary,
            "sort_order": order,
            "is_published": file.table.published,
            "opens_at": file.table.opens_at,
            "closes_at": file.table.closes_at,
            "daily_limit": file.table.daily_limit,
            "total_limit": file.table.total_limit,
            "invalid_daily_limit": file.table.invalid_daily_limit,
            "finals_limit": file.table.finals_limit,
            "archive_limit_bytes": file.archive_bytes,
            "grace_minutes": file.table.grace_minutes,
            "visibility": file.table.visibility,
            "detail": file.table.detail,
            "precision": file.table.precision,
            "labels_public": file.table.labels_public,
            "archives_kept_days": file.table.archives_kept_days,
            "inference_ratio_limit": file.table.inference_ratio_limit,
            "task_spec": spec,
            "public_patches": [[p.id, p.domain, p.zone] for p in file.patches],
        },
        what,
        report,
    )
    if former is not None:
        _consequences(former, phase, report)
    if phase.ground_truth is None:
        report.remarks.append(
            f"{what}: has no ground truth yet; install it: manage.py install_ground_truth "
            f"{challenge.slug} --phase {file.slug} --labels DIR"
        )
    elif {p[0] for p in phase.ground_truth.patches} != {p.id for p in file.patches}:
        report.remarks.append(
            f"{what}: its ground truth has other patches than the file lists; "
            "install one that fits, or correct the list"
        )


def _consequences(former: Phase, phase: Phase, report: LoadReport) -> None:
    """Report what the changes of a stored phase mean, as the desk does before it saves."""
    row = {name: getattr(former, name) for name in phases.FIELDS}
    changes = {
        name: getattr(phase, name) for name, value in row.items() if getattr(phase, name) != value
    }
    facts = phase_facts.facts_of(former, changes=changes, now=timezone.now())
    found = phase_consequences.consequences(row, changes, facts)
    report.consequences += [(phase.slug, one) for one in found]
    report.bound.append([phase.pk, phases.fingerprint(former), phases.fingerprint(phase)])
    report.bound.append([[one.code.value, dict(one.params)] for one in found])


def _check_window(phase: Phase | None, file: PhaseFile, what: str) -> None:
    """Refuse dates that would open a phase again whose values left in full precision."""
    if phase is None:
        return
    try:
        full_precision.check_window(
            phase,
            opens_at=file.table.opens_at,
            closes_at=file.table.closes_at,
            now=timezone.now(),
        )
    except Refusal as refusal:
        text = f"{what}: opens_at, closes_at: {refusal}"
        raise FileMistakes([Mistake(challenge_file.FILE_NAME, 0, text)]) from refusal


def _extra_phases(challenge: Challenge, file: ChallengeFile, report: LoadReport) -> None:
    for phase in challenge.phases.exclude(slug__in=[p.slug for p in file.phases]):
        report.remarks.append(
            f"phase {phase.slug}: is not in the file; it stays as it is "
            "(unpublish it in the organisers' pages if it should not be seen)"
        )


def _public_labels(challenge: Challenge, report: LoadReport) -> None:
    """Let each ground truth say what its phase says; refuse patches that are hidden elsewhere."""
    mistakes = []
    for phase in challenge.phases.select_related("ground_truth").order_by("sort_order"):
        truth = phase.ground_truth
        patches = [*phase.public_patches, *(truth.patches if truth else ())]
        shared = phase.labels_public and public_labels.describe_shared(
            phase, [patch[0] for patch in patches], labels_public=True
        )
        if shared:
            mistakes.append(Mistake(challenge_file.FILE_NAME, 0, shared))
        if truth is not None:
            put(truth, {"labels_public": phase.labels_public}, f"ground truth {truth}", report)
    if mistakes:
        raise FileMistakes(mistakes)


def _shared_labels(challenge: Challenge, report: LoadReport) -> None:
    """Say which phases go on with rounded figures after their close, or tell too much by it."""
    phases.update_labels_open_until()
    for phase in challenge.phases.order_by("sort_order"):
        others = phase.labels_open_until
        if phase.closes_at is None or others is None or others <= phase.closes_at:
            continue
        until = "never" if others == disclosure.NEVER else f"{others:%Y-%m-%d %H:%M} UTC"
        if phase.precision == Precision.PHASE_CLOSED:
            report.remarks.append(
                f"phase {phase.slug}: figures leave in full precision at its close, by its "
                "precision = 'phase-closed'; another phase on the same labels goes on "
                f"(closes: {until}), and who submits there can read labels from them"
            )
        else:
            report.remarks.append(
                f"phase {phase.slug}: another phase on the same labels goes on after its close "
                f"(closes: {until}); until then its figures stay rounded, unless "
                "precision = 'phase-closed' says otherwise"
            )


def _children(
    challenge: Challenge, file: ChallengeFile, report: LoadReport, *, actor: User | None
) -> None:
    """Pages, published results and shipped announcements: they follow the file, but for what the
    desk wrote since.
    """
    pages = {(p.slug, p.language): p for p in challenge.pages.all()}
    for gone in pages.values():
        page_editing.keep(gone, actor=None)  # what the desk may have written and this overwrites
    for page in file.pages:
        key = (page.slug, page.language)
        stored = put(
            pages.pop(key)
            if key in pages
            else Page(challenge=challenge, slug=key[0], language=key[1]),
            {"title": page.title, "markdown": page.markdown, "sort_order": page.order},
            f"page {page.slug}.{page.language}",
            report,
        )
        page_editing.keep(stored, actor=actor)
    results = {(r.phase_slug, r.name): r for r in challenge.published_results.all()}
    for order, result in enumerate(file.results):
        name = (result.phase, result.name)
        put(
            results.pop(name)
            if name in results
            else PublishedResult(challenge=challenge, phase_slug=name[0], name=name[1]),
            {
                "kind": result.kind,
                "miou": result.miou,
                "std": result.std,
                "class_ious": result.ious,
                "source": result.source,
                "sort_order": order,
            },
            f"result {result.name}",
            report,
        )
    shipped = {a.key: a for a in challenge.announcements.exclude(key="")}
    for item in file.announcements:
        put(
            shipped.pop(item.key)
            if item.key in shipped
            else Announcement(challenge=challenge, key=item.key),
            {
                "title": item.title,
                "body": item.body,
                "published_at": item.published_at,
                "mail_to": item.mail_to,
            },
            f"announcement {item.key}",
            report,
        )
    remove({f"page {one.slug}.{one.language}": one for one in pages.values()}, report)
    remove({f"result {one.name}": one for one in results.values()}, report)
    remove({f"announcement {one.key}": one for one in shipped.values()}, report)
