"""Submitting: the form, and what the browser needs to check a zip before it is sent."""

from __future__ import annotations

import json
import zlib
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.http import quote_etag
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET, require_http_methods

from challenge.errors import Refusal, refuse
from challenge.models import Phase, Submission, Upload
from challenge.selectors import pages, people
from challenge.services import archive_space, quota
from challenge.services import submissions as service
from challenge.web import boards
from challenge.web.forms import SubmitForm
from challenge.web.views import frame, language, refusals_as_pages
from scoring.engine import problems


@require_http_methods(["GET", "POST"])
@login_required
@refusals_as_pages
def submit(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Show the form; accept an archive, posted with it or uploaded before."""
    user: Any = request.user
    phase = pages.phase_by_slug(slug, phase_slug, user=user)
    initial = {"mail_on_result": user.mail_on_result} | _last_method(user, phase)
    posted = request.method == "POST"
    form = SubmitForm(
        request.POST if posted else None, request.FILES if posted else None, initial=initial
    )
    if posted and form.is_valid():
        try:
            made = _accept(form, user=user, phase=phase)
        except Refusal as refusal:
            form.add_refusal(refusal)
        else:
            return redirect("web:submission", made.pk)
    team = people.team_of(user, phase.challenge)
    context = frame(request, phase.challenge, current="submit", phase=phase) | {
        "form": form,
        "quota": quota.view(team=team, phase=phase),
        "space": archive_space.of(team) if team is not None else None,
        "blocked": _blocked(user, phase),
        "open_lines": pages.phase_menu(phase.challenge),
        "patches": len(_patches(phase)),
    }
    return render(request, "web/submit.html", context, status=422 if form.errors else 200)


@gzip_page
@require_GET
@refusals_as_pages
def check_data(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer all that a browser needs to check a zip: ids, names, limits, messages, classes."""
    user: Any = request.user
    phase = pages.phase_by_slug(slug, phase_slug, user=user)
    if phase.task_spec is None:
        raise refuse("phase-not-ready")
    texts = {code: both[language()] for code, both in problems.export().items()}
    # of the words as well: a new release may say it better
    words = zlib.crc32(json.dumps([texts, problems.singular(language())]).encode())
    tag = quote_etag(
        f"{phase.pk}-{phase.task_spec.digest}-{phase.ground_truth_id}-{language()}-{words:x}"
    )
    unchanged = get_conditional_response(request, etag=tag)
    if unchanged is not None:
        return unchanged
    spec = phase.task_spec.data
    published = boards.frequencies(phase.challenge)
    response = JsonResponse(
        {
            "ids": [patch[0] for patch in _patches(phase)],
            "pattern": spec["prediction_pattern"],
            "example": spec["prediction_name"].replace("{id}", _first_id(phase)),
            "height_px": spec["patch_height_px"],
            "width_px": spec["patch_width_px"],
            "limits": spec["limits"] | {"archive_bytes": phase.archive_limit_bytes},
            "elsewhere": spec.get("elsewhere") or [],
            "classes": [
                {
                    "id": one["id"],
                    "name": one["name"].get(language(), one["name"]["en"]),
                    "color": one["color"],
                    "scored": one["scored"],
                    "published": published.get(one["key"]),
                }
                for one in spec["classes"]
            ],
            "texts": texts,
            "texts_of_one": problems.singular(language()),
            "phrases": problems.phrases(language()),
            "colon": problems.COLON[language()],
        },
        json_dumps_params={"ensure_ascii": False, "separators": (",", ":")},
    )
    response["ETag"] = tag
    patch_cache_control(response, no_cache=True)
    return response


def _accept(form: SubmitForm, *, user: Any, phase: Phase) -> Submission:
    data = form.cleaned_data
    if data["upload"]:
        upload = Upload.objects.filter(pk=data["upload"], user=user).first()
        if upload is None:
            raise refuse("upload-not-found")
        return service.submit_upload(
            user=user,
            phase=phase,
            upload=upload,
            method=form.method(),
            mail_on_result=data["mail_on_result"],
        )
    return service.submit_stream(
        user=user,
        phase=phase,
        stream=data["archive"],
        original_name=data["archive"].name,
        method=form.method(),
        mail_on_result=data["mail_on_result"],
    )


def _blocked(user: Any, phase: Phase) -> Refusal | None:
    """Return why nothing can be submitted at the moment, or None."""
    try:
        service.precheck(user=user, phase=phase, now=timezone.now())
    except Refusal as refusal:
        return refusal
    return None


def _last_method(user: Any, phase: Phase) -> dict[str, Any]:
    """Return the fact sheet of the person's last submission: most often little changes."""
    last = Submission.objects.filter(
        submitted_by=user, entry__phase__challenge=phase.challenge_id
    ).first()
    if last is None:
        return {}
    names = ("method_name", "method_description", "external_data", "code_url", "hardware")
    return {name: getattr(last, name) for name in names}


def _patches(phase: Phase) -> list[list[str]]:
    """Return the phase's public patches: those of its truth, else those announced."""
    if phase.ground_truth_id is not None and phase.ground_truth is not None:
        return list(phase.ground_truth.patches)
    return list(phase.public_patches)


def _first_id(phase: Phase) -> str:
    patches = _patches(phase)
    return patches[0][0] if patches else "000001"
