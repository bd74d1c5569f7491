"""Every file that the database names, with its digest where a row has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from challenge.models import (
    Gallery,
    GroundTruth,
    PatchPictures,
    PracticeKit,
    Score,
    Submission,
    Upload,
    WinnerDocument,
)
from challenge.services.labels import distribution

# Fields that hold the name of a file, and where their files are. A test compares them with the
# models, so that no new one is forgotten.
FIELDS = {
    "Submission.archive": "stored",
    "Upload.archive": "stored",
    "PracticeKit.stored_name": "stored",
    "WinnerDocument.stored_name": "stored",
    "PatchPictures.stored_name": "stored",
    "Gallery.stored_name": "stored",
    "GroundTruth.store_name": "labels",
    "Score.evidence_name": "evidence",
}

# How an import names labels that it did not bring.
IMPORTED_LABELS = "-imported.truth"


@dataclass(frozen=True)
class NamedFile:
    """A file that a row names; ``sha256`` "" where no row has its digest.

    ``is_elsewhere``: labels of an imported challenge, which may never have been on this site.
    """

    kind: str
    name: str
    sha256: str = ""
    is_elsewhere: bool = False


def named_files() -> Iterator[NamedFile]:
    """Yield each file once. In a transaction of one snapshot: what that snapshot names."""
    seen: set[tuple[str, str]] = set()
    for one in _all():
        if one.name and (one.kind, one.name) not in seen:
            seen.add((one.kind, one.name))
            yield one


def _all() -> Iterator[NamedFile]:
    submissions = Submission.objects.filter(archive_removed_at__isnull=True)
    # What was submitted is the submission's, which says whether it was removed since.
    uploads = Upload.objects.filter(submission__isnull=True).exclude(archive="")
    rows: tuple[tuple[Any, str], ...] = (
        (submissions.values_list("archive", "archive_sha256"), "stored"),
        (uploads.values_list("archive", "sha256"), "stored"),
        (PracticeKit.objects.values_list("stored_name", "sha256"), "stored"),
        (WinnerDocument.objects.values_list("stored_name", "sha256"), "stored"),
    )
    for values, kind in rows:
        for name, sha256 in values.order_by("pk").iterator():
            yield NamedFile(kind, name, sha256)
    for model in (PatchPictures, Gallery):
        pictures = model._default_manager.exclude(stored_name="").order_by("pk")
        for name in pictures.values_list("stored_name", flat=True).iterator():
            yield NamedFile("stored", name)
    for truth in GroundTruth.objects.defer("patches").order_by("pk"):
        for name in distribution.file_names(truth):
            yield NamedFile("labels", name, is_elsewhere=name.endswith(IMPORTED_LABELS))
    evidence = Score.objects.exclude(evidence_name="").order_by("pk")
    for name in evidence.values_list("evidence_name", flat=True).iterator():
        yield NamedFile("evidence", name)
