"""Submitting: the form, and what the browser needs to check a zip before it is sent."""

from __future__ import annotations

import json
import zlib
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.http import quote_etag

from challenge.errors import Refusal, refuse
from challenge.models import Phase, Submission, Upload, User
from challenge.selectors import first_steps as first_steps_selector
from challenge.selectors import languages, pages, people, phases, submissions
from challenge.services.storage import limits
from challenge.services.submissions import quota
from challenge.services.submissions import submissions as service
from challenge.services.teams import first_steps
from challenge.services.teams.first_steps import FirstStep
from challenge.web.challenges.facts import class_shares
from challenge.web.forms import SubmitForm
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.submissions import check_data as check_documents
from challenge.web.views import challenge_context


@page_view("GET", "POST", sign_in=True)
def submit(request: SignedInRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Show the form; accept an archive, posted with it or uploaded before."""
    user = request.user
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
            return _answer_submitted(request, made)
    if posted and _wants_json(request):
        answer = {"messages": _messages(form), "repeated": "again" in form.errors}
        return JsonResponse(answer, status=422)
    team = people.team_of(user, phase.challenge)
    current = languages.current()
    context = challenge_context(request, phase.challenge, current="submit", phase=phase) | {
        "form": form,
        "quota": quota.view(team=team, phase=phase),
        "space": limits.storage_use(team) if team is not None else None,
        "blocked": _blocked(user, phase),
        "arrived": submissions.unsubmitted_uploads(user, phase),
        "open_lines": pages.phase_menu(phase.challenge),
        "explains_format": "submission" in dict(pages.tab_pages(phase.challenge, language=current)),
        "patches": len(phases.expected_patches(phase)),
        "kit": first_steps_selector.kit_of(phase),
        "steps": first_steps_selector.first_steps(user, phase.challenge),
    }
    return render(request, "web/submit.html", context, status=422 if form.errors else 200)


def _wants_json(request: HttpRequest) -> bool:
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def _answer_submitted(request: HttpRequest, submission: Submission) -> HttpResponse:
    address = reverse("web:submission", args=[submission.pk])
    if _wants_json(request):
        return JsonResponse({"location": address}, status=201)
    return redirect(address)


def _messages(form: SubmitForm) -> list[str]:
    """Return what is wrong, each sentence with the label of its field."""
    messages = []
    for name, errors in form.errors.items():
        label = form.fields[name].label if name in form.fields else None
        messages += [f"{label}: {error}" if label else str(error) for error in errors]
    return messages


@page_view("GET", gzip=True)
def check_data(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer all that a browser needs to check a zip: ids, names, limits, messages, classes."""
    user = request.user
    phase = pages.phase_by_slug(slug, phase_slug, user=user)
    if phase.task_spec is None:
        raise refuse("phase-not-ready")
    first_steps.record(user, challenge=phase.challenge, step=FirstStep.CHECK)
    ids = [patch[0] for patch in phases.expected_patches(phase)]
    document = check_documents.build(
        phase.task_spec.data,
        ids=ids,
        archive_limit_bytes=phase.archive_limit_bytes,
        language=languages.current(),
        published=class_shares(phase.challenge.facts),
    )
    # Of all that may change, the words too: a new release may say it better.
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    tag = quote_etag(f"{phase.pk}-{zlib.crc32(body):x}")
    unchanged = get_conditional_response(request, etag=tag)
    if unchanged is not None:
        return unchanged
    response = HttpResponse(body, content_type="application/json")
    response["ETag"] = tag
    patch_cache_control(response, no_cache=True)
    return response


def _accept(form: SubmitForm, *, user: User, phase: Phase) -> Submission:
    data = form.cleaned_data
    if data["upload"]:
        upload = Upload.objects.filter(pk=data["upload"], user=user).first()
        if upload is None:
            raise refuse("upload-not-found")
        submitted = Submission.objects.filter(upload=upload, entry__phase=phase).first()
        if submitted is not None:  # whose answer was lost on its way
            return submitted
        return service.submit_upload(
            user=user,
            phase=phase,
            upload=upload,
            method=form.method(),
            mail_on_result=data["mail_on_result"],
            repeat=data["again"],
        )
    return service.submit_stream(
        user=user,
        phase=phase,
        stream=data["archive"],
        original_name=data["archive"].name,
        method=form.method(),
        mail_on_result=data["mail_on_result"],
        repeat=data["again"],
    )


def _blocked(user: User, phase: Phase) -> Refusal | None:
    """Return why nothing can be submitted at the moment, or None."""
    try:
        service.precheck(user=user, phase=phase, now=timezone.now())
    except Refusal as refusal:
        return refusal
    return None


def _last_method(user: User, phase: Phase) -> dict[str, Any]:
    """Return the fact sheet of the person's last submission: most often little changes."""
    last = Submission.objects.filter(
        submitted_by=user, entry__phase__challenge=phase.challenge_id
    ).first()
    if last is None:
        return {}
    names = ("method_name", "method_description", "external_data", "code_url", "hardware")
    return {name: getattr(last, name) for name in names}
