"""Practice kits: what a phase's kit is, and its zip, whole or from a byte on."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from ninja import Router, Schema

from challenge.api.access import READ, SignedInRequest
from challenge.api.types import Slug
from challenge.errors import refuse
from challenge.models import Phase, PracticeKit
from challenge.selectors import first_steps as selector
from challenge.selectors import pages
from challenge.services import stream_slots
from challenge.services.storage import archives
from challenge.services.teams import first_steps
from challenge.services.teams.first_steps import FirstStep

router = Router(tags=["Phases"])
KIT = "/challenges/{slug}/phases/{phase}/kit"
FROM = re.compile(r"bytes=(?P<first>[0-9]{1,15})-", re.ASCII)


class KitOut(Schema):
    """A phase's practice kit: one zip.

    It holds ``ids.csv``, ``task.json``, ``images/<id>.tif`` for each of the phase's ``images``
    patches, and ``examples/images/<id>.tif`` with ``examples/labels/<id>.tif`` for each of the
    ``examples``, which are other patches. ``sha256`` is that of the zip, ``url`` where it is.
    """

    phase: str
    file_name: str
    bytes: int
    sha256: str
    images: int
    examples: int
    published_at: datetime
    url: str


@router.get(KIT, response=KitOut, auth=READ)
def get_kit(request: SignedInRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """What a phase's practice kit is; 404 where organisers published none."""
    selected, kit = _kit(request, slug, phase)
    return {
        "phase": str(selected),
        "file_name": _file_name(selected),
        "bytes": kit.size_bytes,
        "sha256": kit.sha256,
        "images": kit.image_count,
        "examples": kit.example_count,
        "published_at": kit.published_at,
        "url": request.build_absolute_uri(f"{request.path}/archive"),
    }


@router.get(
    f"{KIT}/archive",
    response={200: None},
    auth=READ,
    openapi_extra={
        "responses": {
            200: {
                "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}
            }
        }
    },
)
def get_kit_archive(request: SignedInRequest, slug: Slug, phase: Slug) -> HttpResponseBase:
    """The kit's zip; with ``Range: bytes=N-`` from its byte N on (206)."""
    selected, kit = _kit(request, slug, phase)
    asked = FROM.fullmatch(request.headers.get("Range", ""))
    first = int(asked["first"]) if asked else 0
    size_bytes = kit.size_bytes
    if first >= size_bytes:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size_bytes}"})
    first_steps.record(request.user, challenge=selected.challenge, step=FirstStep.KIT)
    length = size_bytes - first
    stream_slots.occupy_download(request, user_id=request.user.pk, length_bytes=length)
    answer = StreamingHttpResponse(
        archives.read_stored(kit.stored_name, first=first, end=size_bytes),
        status=206 if asked else 200,
        content_type="application/zip",
    )
    answer["Content-Disposition"] = f'attachment; filename="{_file_name(selected)}"'
    answer["Content-Length"] = str(length)
    answer["Accept-Ranges"] = "bytes"
    answer["ETag"] = f'"{kit.sha256}"'
    if asked:
        answer["Content-Range"] = f"bytes {first}-{size_bytes - 1}/{size_bytes}"
    return answer


def _kit(request: SignedInRequest, slug: str, phase: str) -> tuple[Phase, PracticeKit]:
    selected = pages.phase_by_slug(slug, phase, user=request.user)
    kit = selector.kit_of(selected)
    if kit is None:
        raise refuse("not-found")
    return selected, kit


def _file_name(phase: Phase) -> str:
    return f"{str(phase).replace('/', '-')}-kit.zip"
