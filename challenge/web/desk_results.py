"""The desk's pages of a phase's final result, and of its best submissions for another phase."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext

from challenge.errors import NotAllowed, Refusal, refuse
from challenge.models import Challenge, Phase
from challenge.rules.disclosure import Visibility
from challenge.rules.roles import Act
from challenge.selectors import final_results as selector
from challenge.selectors import reveals, roles
from challenge.services.leaderboard import certificates
from challenge.services.leaderboard import final_results as service
from challenge.services.submissions import copying, reveal_requests
from challenge.web import desk, zone_text
from challenge.web.leaderboard.results import shown_lines
from challenge.web.people_forms import ResultForm
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context

SHOWN_LINES = 100


@page_view("GET", "POST", sign_in=True, cache=False)
def result(request: SignedInRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Show a phase's lines as they would be signed; sign those that were shown."""
    challenge = desk.challenge_of(request, slug)
    phase = _phase(challenge, phase_slug)
    if request.method == "GET":
        return _page(request, phase, ResultForm(version=phase.result_version + 1))
    roles.require(request.user, Act.FINALS, challenge)
    if request.POST.get("act") == "reveal":
        return _reveal(request, phase)
    form = ResultForm(request.POST, version=phase.result_version + 1)
    if not form.is_valid():
        return _page(request, phase, form, status=422)
    try:
        signed = service.sign(
            phase=phase,
            actor=request.user,
            confirmed=form.cleaned_data["digest"],
            reason=form.cleaned_data["reason"],
        )
    except NotAllowed:
        raise
    except Refusal as refusal:
        form.add_error(None, str(refusal))
        return _page(request, _phase(challenge, phase_slug), form, status=409)
    done = gettext("Version %(version)s of the final result is signed and public.")
    messages.success(request, done % {"version": signed.version})
    return redirect("web:result", slug, phase_slug)


def _reveal(request: SignedInRequest, phase: Phase) -> HttpResponse:
    """Ask a worker for the reveal and go back to the page; a refusal is told there."""
    try:
        reveal_requests.request(
            phase=phase, actor=request.user, partial=request.POST.get("partial") == "on"
        )
    except NotAllowed:
        raise
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(
            request, gettext("Asked for: a worker reveals the private zones, all at once.")
        )
    return redirect("web:desk-result", phase.challenge.slug, phase.slug)


def _page(
    request: SignedInRequest, phase: Phase, form: ResultForm, *, status: int = 200
) -> HttpResponse:
    challenge = phase.challenge
    draft = selector.draft(phase, now=timezone.now())
    zone = zone_text.zone_of(challenge)
    classes = [{"key": key} for key in (draft.lines[0]["class_ious"] if draft.lines else {})]
    versions = selector.versions(phase)
    context = challenge_context(request, challenge, current="desk") | {
        "edited": phase,
        "draft": draft,
        "lines": shown_lines({"classes": classes, "lines": draft.lines[:SHOWN_LINES]}),
        "more": max(0, len(draft.lines) - SHOWN_LINES),
        "digest": service.digest(draft),
        "versions": [(one, zone_text.both(one.signed_at, zone)) for one in versions],
        "unshown": certificates.unshown_teams(versions[0]) if versions else [],
        "form": form,
        "reveal": reveals.standing(phase, now=timezone.now()) if phase.awaits_reveal else None,
        "may_export": roles.may(request.user, Act.EXPORT, challenge),
        "may_sign": roles.may(request.user, Act.FINALS, challenge),
        "publishes_hidden": phase.visibility in {Visibility.OWN_TEAM, Visibility.ORGANISERS},
    }
    return render(request, "web/desk_result.html", context, status=status)


def _phase(challenge: Challenge, slug: str) -> Phase:
    found = challenge.phases.select_related("task_spec").defer("public_patches")
    phase = found.filter(slug=slug).first()
    if phase is None:
        raise refuse("not-found")
    phase.challenge = challenge
    return phase


@page_view("GET", "POST", sign_in=True, cache=False)
def copy_best(request: SignedInRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Show what would be copied into the phase ``?to=``; copy those that were shown."""
    challenge = desk.challenge_of(request, slug)
    source = _phase(challenge, phase_slug)
    others = [one for one in _phases(challenge) if one.pk != source.pk]
    sent = request.method == "POST"
    wanted = (request.POST if sent else request.GET).get("to", "")
    target = next((one for one in others if one.slug == wanted), None)
    if sent:
        roles.require(request.user, Act.FINALS, challenge)
    if target is None and (wanted or sent):
        raise refuse("not-found")
    refused = _copy(request, source, target) if sent and target is not None else ""
    if sent and not refused:
        return redirect("web:desk-result", slug, wanted)
    context = challenge_context(request, challenge, current="desk") | {
        "edited": source,
        "others": others,
        "target": target,
        "plan": copying.plan(source=source, target=target) if target is not None else None,
        "refused": refused,
        "may_copy": roles.may(request.user, Act.FINALS, challenge),
    }
    return render(request, "web/desk_copy.html", context, status=409 if refused else 200)


def _copy(request: SignedInRequest, source: Phase, target: Phase) -> str:
    """Copy what the form confirms; returns why nothing was copied, empty where it was."""
    try:
        copies = copying.copy_best(
            source=source,
            target=target,
            actor=request.user,
            confirmed=request.POST.get("digest", ""),
        )
    except NotAllowed:
        raise
    except Refusal as refusal:
        return str(refusal)
    done = gettext("Copied and waiting to be scored: %(n)s.") % {"n": len(copies)}
    messages.success(request, done)
    return ""


def _phases(challenge: Challenge) -> list[Phase]:
    found = challenge.phases.select_related("task_spec", "ground_truth").defer("public_patches")
    return list(found.order_by("sort_order", "opens_at"))
