"""What a participant starts from: a phase's patches, a valid archive, its kit, a program."""

from __future__ import annotations

import io
import warnings
import zipfile

import numpy as np
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from challenge.errors import refuse
from challenge.rules.spreadsheet import write_csv
from challenge.selectors import first_steps as first_steps_selector
from challenge.selectors import pages, phases
from challenge.services import starter
from challenge.services.storage import archives
from challenge.services.teams import first_steps
from challenge.services.teams.first_steps import FirstStep
from challenge.web import file_answers
from challenge.web.requests import SignedInRequest, page_view
from scoring.engine.task import specification as specs
from scoring.engine.task.specification import TaskSpec


@page_view("GET", "HEAD", gzip=True)
def patch_list(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer a phase's patches as CSV: domain, zone and id, as the API lists them."""
    phase = pages.phase_by_slug(slug, phase_slug, user=request.user)
    first_steps.record(request.user, challenge=phase.challenge, step=FirstStep.IDS)
    rows = [[domain, zone, patch] for patch, domain, zone in phases.expected_patches(phase)]
    response = HttpResponse(
        write_csv(["domain", "zone", "patch"], rows), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{slug}-{phase_slug}-patches.csv"'
    return response


@page_view("GET", "HEAD", sign_in=True)
def sample_archive(request: SignedInRequest, slug: str, phase_slug: str) -> FileResponse:
    """Answer a valid archive: every pixel of every patch is the first class that is scored.

    Raises Refusal ``phase-not-ready`` where nothing says which patches are expected.
    """
    phase = pages.phase_by_slug(slug, phase_slug, user=request.user)
    names = [patch for patch, _domain, _zone in phases.expected_patches(phase)]
    if phase.task_spec is None or not names:
        raise refuse("phase-not-ready")
    first_steps.record(request.user, challenge=phase.challenge, step=FirstStep.KIT)
    spec = specs.from_json(phase.task_spec.data)
    archive = _write_archive(spec, names)
    return FileResponse(
        archive,
        as_attachment=True,
        filename=f"{slug}-{phase_slug}-sample.zip",
        content_type="application/zip",
    )


@page_view("GET", sign_in=True)
def kit(request: SignedInRequest, slug: str, phase_slug: str) -> HttpResponseBase:
    """Answer the kit that organisers published for a phase, whole or a range of it."""
    phase = pages.phase_by_slug(slug, phase_slug, user=request.user)
    published = first_steps_selector.kit_of(phase)
    if published is None:
        raise refuse("not-found")
    first_steps.record(request.user, challenge=phase.challenge, step=FirstStep.KIT)
    return file_answers.answer(
        request,
        size_bytes=published.size_bytes,
        read=lambda first, end: archives.read_stored(published.stored_name, first=first, end=end),
        file_name=f"{slug}-{phase_slug}-kit.zip",
    )


@page_view("GET", "HEAD")
def starter_program(
    request: HttpRequest,  # noqa: ARG001  Django passes it
    kind: str,
) -> HttpResponse:
    """Answer the program that makes a first submission out of a kit: ``py`` or ``ipynb``."""
    if kind == "py":
        content, content_type = starter.script(), "text/x-python; charset=utf-8"
    else:
        content, content_type = starter.notebook(), "application/x-ipynb+json"
    response = HttpResponse(content, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="starter.{kind}"'
    return response


def _write_archive(spec: TaskSpec, names: list[str]) -> io.BytesIO:
    """Return an archive with one raster a patch, rewound: less than a kilobyte of each."""
    raster = _constant_raster(spec)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            member = zipfile.ZipInfo(spec.prediction_name.replace("{id}", name))
            archive.writestr(member, raster, compress_type=zipfile.ZIP_DEFLATED)
    file.seek(0)
    return file


def _constant_raster(spec: TaskSpec) -> bytes:
    """Return a TIFF, uint8[height, width], of the first scored class."""
    shape = (spec.patch_height_px, spec.patch_width_px)
    pixels = np.full(shape, spec.scored_ids[0], dtype=np.uint8)
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a prediction needs no place
        with memory.open(
            driver="GTiff",
            height=shape[0],
            width=shape[1],
            count=1,
            dtype="uint8",
            compress="deflate",
        ) as raster:
            raster.write(pixels, 1)
        return bytes(memory.read())
