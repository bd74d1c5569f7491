"""All archives of a phase as one zip, streamed: a chunk of one archive is in memory at a time."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC
from typing import IO, Any

from django.db.models import Sum

from challenge.errors import Refusal
from challenge.models import Phase, Submission, User
from challenge.services import audit
from challenge.services.storage import archives
from challenge.services.storage.zip_stream import Sink
from challenge.services.submissions import downloads

MANIFEST = "manifest.json"
# A manifest of so many bytes is kept in memory, a longer one on the disk.
MANIFEST_IN_MEMORY = 1 << 20


def submissions_of(phase: Phase) -> Any:
    """Return a phase's submissions, the oldest first, with their teams."""
    rows = Submission.objects.filter(entry__phase=phase).select_related("entry__team")
    return rows.order_by("created_at", "pk")


def total_bytes(phase: Phase) -> int:
    """Return how many bytes the archives that are there have (one query)."""
    kept = Submission.objects.filter(entry__phase=phase, archive_removed_at__isnull=True)
    return int(kept.aggregate(total=Sum("archive_bytes"))["total"] or 0)


def record(phase: Phase, *, actor: User) -> None:
    """Write into the trail who takes all archives of a phase, and how many there are."""
    audit.record(
        "archives.export",
        actor=actor,
        challenge=phase.challenge,
        target=phase,
        archives=submissions_of(phase).count(),
    )


def stream(phase: Phase) -> Iterator[bytes]:
    """Return a zip of a phase's archives, named ``team-number-id.zip``, and ``manifest.json``.

    The archives are stored as they are. The manifest, the last file, has a line for each
    submission: its file, team, number, moment, bytes, the SHA-256 that was accepted, and what
    became of it: "included", "altered" (what is stored is not what was accepted; ``found_sha256``
    says what), "removed" or the code for which its bytes could not be had.
    """
    sink = Sink()
    with (
        tempfile.SpooledTemporaryFile(MANIFEST_IN_MEMORY) as manifest,
        zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as target,
    ):
        separator = b"[\n"
        for submission in submissions_of(phase).iterator(chunk_size=200):
            line = _line(submission)
            yield from _add(target, sink, submission, line)
            manifest.write(separator + json.dumps(line, ensure_ascii=False).encode())
            separator = b",\n"
        manifest.write((b"[" if separator == b"[\n" else b"") + b"\n]\n")
        manifest.seek(0)
        yield from _copy(target, sink, zipfile.ZipInfo(MANIFEST, (1980, 1, 1, 0, 0, 0)), manifest)
    yield sink.take()


def _line(submission: Submission) -> dict[str, Any]:
    return {
        "file": downloads.file_name(submission),
        "submission": str(submission.pk),
        "team": submission.entry.team.name,
        "team_id": submission.entry.team_id,
        "number": submission.number,
        "submitted_at": f"{submission.created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "bytes": submission.archive_bytes,
        "sha256": submission.archive_sha256,
        "state": "included",
    }


def _add(
    target: zipfile.ZipFile, sink: Sink, submission: Submission, line: dict[str, Any]
) -> Iterator[bytes]:
    """Write one archive; ``line`` says afterwards what became of it."""
    try:
        chunks = archives.read_range(submission, first=0, end=submission.archive_bytes)
    except Refusal as refusal:
        line["state"] = "removed" if refusal.code == "archive-removed" else refusal.code
        return
    digest = hashlib.sha256()
    moment = submission.created_at.astimezone(UTC)
    info = zipfile.ZipInfo(line["file"], moment.timetuple()[:6])
    info.external_attr = 0o600 << 16
    with target.open(info, "w", force_zip64=True) as member:
        for chunk in chunks:
            digest.update(chunk)
            member.write(chunk)
            yield sink.take()
    if digest.hexdigest() != submission.archive_sha256:
        line["state"], line["found_sha256"] = "altered", digest.hexdigest()


def _copy(
    target: zipfile.ZipFile, sink: Sink, info: zipfile.ZipInfo, source: IO[bytes]
) -> Iterator[bytes]:
    info.external_attr = 0o600 << 16
    with target.open(info, "w", force_zip64=True) as member:
        while chunk := source.read(archives.CHUNK_BYTES):
            member.write(chunk)
            yield sink.take()
