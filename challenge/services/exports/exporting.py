"""A whole challenge as one zip, streamed: an owner's act, and the operator's command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone

from challenge.errors import Refusal
from challenge.models import Challenge, Evaluation, Phase, Submission, User
from challenge.rules.disclosure import Viewer
from challenge.rules.lifecycle import OPEN_STATES
from challenge.rules.roles import Act
from challenge.selectors import phase_disclosure, roles
from challenge.services import audit, signing
from challenge.services.challenges.challenge_file import FILE_NAME
from challenge.services.challenges.description import Description, to_toml
from challenge.services.exports import describing, layout
from challenge.services.exports.rows import Rows
from challenge.services.leaderboard import ranks
from challenge.services.storage import archives
from challenge.services.storage.zip_stream import ZipStream

CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Options:
    """``personal_data``: names, addresses, reasons, messages and the trail; ``archives``: all."""

    personal_data: bool = False
    archives: bool = False


@dataclass
class Export:
    """An export that may begin: what is said of the challenge is checked already."""

    challenge: Challenge
    options: Options
    now: datetime
    description: Description
    left_out: list[dict[str, Any]] = field(default_factory=list)


def prepare(
    *,
    challenge: Challenge,
    actor: User | None,
    options: Options,
    now: datetime | None = None,
) -> Export:
    """Check that a challenge can be exported, and write who exports it into the trail.

    ``Act.EXPORT_ALL``; ``actor`` None is the operator's command. Raises what `roles.require`
    raises, and Refusal ``export-description-invalid``.
    """
    now = now or timezone.now()
    if actor is not None:
        roles.require(actor, Act.EXPORT_ALL, challenge)
    description = describing.describe(challenge)
    for phase in challenge.phases.select_related("challenge"):
        policy = phase_disclosure.policy_for(phase, viewer=Viewer.ORGANISER, now=now)
        if phase.ranked_at is not None and phase.ranks_step != policy.miou_step:
            ranks.recompute(phase=phase, now=now)  # they tell more, or less, than values may now
    audit.record(
        "challenge.export",
        actor=actor,
        challenge=challenge,
        target=challenge,
        now=now,
        personal_data=options.personal_data,
        archives=options.archives,
    )
    return Export(challenge, options, now, description)


def length_bytes(challenge: Challenge, options: Options) -> int:
    """Return about how many bytes an export has (one query)."""
    rows = Submission.objects.filter(entry__phase__challenge=challenge).aggregate(
        submissions=Count("pk"),
        kept=Sum("archive_bytes", filter=Q(archive_removed_at__isnull=True)),
    )
    return int(rows["submissions"]) * 4096 + (int(rows["kept"] or 0) if options.archives else 0)


def stream(export: Export) -> Iterator[bytes]:
    """Return the zip's bytes; ten submissions or a chunk of an archive are in memory at a time.

    All is read as it stood at one moment (REPEATABLE READ), archives aside, which never change.
    """
    target = ZipStream()
    with _one_moment():
        challenge = Challenge.objects.get(pk=export.challenge.pk)
        rows = Rows(challenge, export.now, export.options.personal_data)
        phases = rows.phases()
        yield from _description(target, export.description)
        for member in layout.LINES:
            yield from target.add(member, _lines(rows.of(member)))
        for phase in phases:
            if export.options.archives:
                yield from _archives(target, phase, rows, export)
            name = layout.submissions_member(phase.slug)
            yield from target.add(name, _lines(rows.submissions(phase)))
        _tell_left_out(export, phases)
    yield from target.add(layout.MANIFEST, [_manifest(export, target)])
    yield target.close()


@contextmanager
def _one_moment() -> Iterator[None]:
    if connection.in_atomic_block:  # of whoever called: it has read already
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def _lines(records: Iterable[layout.Record]) -> Iterator[bytes]:
    waiting, size_bytes = [], 0
    for record in records:
        line = record.model_dump_json().encode() + b"\n"
        waiting.append(line)
        size_bytes += len(line)
        if size_bytes >= CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size_bytes = [], 0
    if waiting:
        yield b"".join(waiting)


def _description(target: ZipStream, description: Description) -> Iterator[bytes]:
    files = {FILE_NAME: to_toml(description.content), **description.files}
    for name, text in files.items():
        yield from target.add(f"{layout.DESCRIPTION}{name}", [text.encode()])


def _archives(target: ZipStream, phase: Phase, rows: Rows, export: Export) -> Iterator[bytes]:
    """Write the archives of a phase, as they are; one that cannot be had is named."""
    found = Submission.objects.filter(entry__phase=phase).order_by("created_at", "pk")
    for submission in found.iterator(chunk_size=200):
        name = f"archives/{phase.slug}/{submission.pk}.zip"
        try:
            chunks = archives.read_range(submission, first=0, end=submission.archive_bytes)
        except Refusal as refusal:
            told = {"code": refusal.code, "submission": str(submission.pk)}
            export.left_out.append(told)
            continue
        yield from target.add(name, chunks, compress=False)
        if target.written[-1].sha256 == submission.archive_sha256:
            rows.archives[str(submission.pk)] = name
        else:
            export.left_out.append({"code": "archive-altered", "submission": str(submission.pk)})


def _tell_left_out(export: Export, phases: list[Phase]) -> None:
    """Add what the export has not: for who imports it, in codes."""
    told = export.left_out
    if not export.options.personal_data:
        told.append({"code": "personal-data"})
    if not export.options.archives:
        told.append({"code": "archives"})
    for phase in phases:
        policy = phase_disclosure.policy_for(phase, viewer=Viewer.ORGANISER, now=export.now)
        if policy.rounded:
            told.append({"code": "figures-rounded", "phase": phase.slug})
        if phase.ground_truth_id and phase_disclosure.labels_sealed(phase, now=export.now):
            told.append({"code": "labels-hidden", "phase": phase.slug})
        waiting = Evaluation.objects.filter(
            submission__entry__phase=phase, state__in=OPEN_STATES
        ).count()
        if waiting:
            told.append({"code": "waiting", "phase": phase.slug, "n": waiting})


def _manifest(export: Export, target: ZipStream) -> bytes:
    manifest = layout.Manifest(
        type=layout.TYPE,
        format=layout.FORMAT,
        challenge=export.challenge.slug,
        exported_at=export.now,
        personal_data=export.options.personal_data,
        archives=export.options.archives,
        left_out=export.left_out,
        members=[
            layout.ManifestMember(name=one.name, bytes=one.bytes, sha256=one.sha256)
            for one in target.written
        ],
    ).model_dump(mode="json")
    signed = layout.SignedManifest(
        manifest=manifest, signature=signing.sign(manifest), key=signing.public_key()
    )
    return signed.model_dump_json(indent=1).encode() + b"\n"
