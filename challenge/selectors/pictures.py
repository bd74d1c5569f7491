"""Pictures of a submission's patches, as far as the disclosure rule lets them leave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef

from challenge.errors import refuse
from challenge.models import PatchPictures, PracticeKit
from challenge.rules import disclosure
from challenge.rules.disclosure import Pictures
from challenge.rules.lifecycle import RunState
from challenge.selectors import submissions
from challenge.selectors.roles import Person
from challenge.selectors.submissions import Detail


@dataclass(frozen=True)
class ShownPictures:
    """``rows`` are `PatchPictures.rows`, each with the ``number`` that its pictures' names have."""

    pictures: PatchPictures
    rows: list[dict[str, Any]]

    @property
    def with_labels(self) -> bool:
        return self.pictures.with_labels


def of_submission(shown: Detail, *, now: datetime | None = None) -> ShownPictures | None:
    """Return the pictures of the evaluation that counts now, None where none may be seen.

    Pictures that were chosen by scores leave together with the labels or not at all. One query, and
    those of `submissions.score_visible`.
    """
    if shown.evaluation is None:
        return None
    submission = shown.submission
    phase = submission.entry.phase
    row = (
        PatchPictures.objects.filter(evaluation=shown.evaluation.pk, state=RunState.SUCCEEDED.value)
        .annotate(
            images_public=Exists(
                PracticeKit.objects.filter(phase=phase, sha256=OuterRef("kit_sha256"))
            )
        )
        .select_related("evaluation__ground_truth")
        .first()
    )
    if row is None or submission.archive_removed_at is not None:
        return None
    allowed = disclosure.pictures_shown(
        shown.policy,
        images_public=row.images_public,
        labels_public=phase.labels_public and row.evaluation.ground_truth.labels_public,
        score_visible=submissions.score_visible(submission, viewer=shown.viewer, now=now),
    )
    if allowed is Pictures.NONE or (row.with_labels and allowed is not Pictures.LABELS):
        return None
    numbers = {patch: n for n, patch in enumerate(dict.fromkeys(one["patch"] for one in row.rows))}
    return ShownPictures(row, [{**one, "number": numbers[one["patch"]]} for one in row.rows])


def file_of(submission_id: UUID, *, name: str, user: Person) -> tuple[PatchPictures, int, int]:
    """Return the stored pictures, and the first byte and the end of the one of that name.

    Raises NotFound where there is none, or none that this person may see.
    """
    shown = of_submission(submissions.detail(submission_id, user=user))
    place = None if shown is None else shown.pictures.files.get(name)
    if shown is None or place is None:
        raise refuse("not-found")
    return shown.pictures, int(place[0]), int(place[1])
