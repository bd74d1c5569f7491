"""A submission's archive, given back in ranges: the browser draws predictions from it again.

No raster is decoded here: bytes leave as they came, as an attachment, to the team, and to owners
and judges, which the trail records.
"""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.http import HttpResponseBase

from challenge.selectors import submissions as selector
from challenge.services.storage import archives
from challenge.services.submissions import downloads as service
from challenge.web import file_answers
from challenge.web.requests import SignedInRequest, page_view


@page_view("GET", sign_in=True)
def archive(request: SignedInRequest, pk: UUID) -> HttpResponseBase:
    """Answer an archive, whole or the one range that was asked for."""
    submission = selector.with_archive(pk, user=request.user)
    return file_answers.answer(
        request,
        size_bytes=submission.archive_bytes,
        read=lambda first, end: archives.read_range(submission, first=first, end=end),
        file_name=service.file_name(submission),
        before=partial(service.record, submission=submission, actor=request.user),
    )
