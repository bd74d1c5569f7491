"""The desk's pages of scores: what there is of each phase, and scoring again with a preview."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, ngettext

from challenge.errors import NotAllowed, Refusal, refuse
from challenge.models import Challenge, Phase, Rescore, Submission
from challenge.rules.lifecycle import RescoreState
from challenge.rules.roles import Act
from challenge.selectors import rescores as selector
from challenge.selectors import roles
from challenge.selectors import submissions as submission_selectors
from challenge.services.submissions import archive_exports, rescores, rescoring
from challenge.web import desk
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.rescore_form import RescoreForm
from challenge.web.views import challenge_context

TO_CONFIRM = frozenset(
    {
        "rescore-unconfirmed",
        "rescore-confirmation-stale",
        "switch-unconfirmed",
        "switch-confirmation-stale",
    }
)
STATES = {
    RescoreState.QUEUED: "waits",
    RescoreState.RUNNING: "running",
    RescoreState.PREVIEWED: "previewed",
    RescoreState.FAILED: "failed",
}


@page_view("GET", sign_in=True, cache=False)
def index(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer the phases, each with what can be done with its scores."""
    challenge = desk.challenge_of(request, slug)
    phases = challenge.phases.defer("public_patches").order_by("sort_order", "opens_at")
    context = challenge_context(request, challenge, current="desk") | {
        "lines": [
            {
                "phase": phase,
                "rescore": selector.open_of(phase),
                "bytes": archive_exports.total_bytes(phase),
            }
            for phase in phases.select_related("ground_truth", "task_spec")
        ],
        "may_export": roles.may(request.user, Act.EXPORT, challenge),
        "may_archives": roles.may(request.user, Act.ARCHIVES, challenge),
        "may_export_all": roles.may(request.user, Act.EXPORT_ALL, challenge),
    }
    return render(request, "web/desk_scores.html", context)


@page_view("GET", sign_in=True, cache=False)
def phase(request: SignedInRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Answer a phase's re-score, or the form that asks for one, and the ways to queue again."""
    found = _phase(request, slug, phase_slug)
    return _page(request, found, RescoreForm(phase=found))


@page_view("POST", sign_in=True)
def act(request: SignedInRequest, slug: str, phase_slug: str, act: str) -> HttpResponse:
    """Do one of the acts of a phase's page of scores; what queues something asks first."""
    found = _phase(request, slug, phase_slug)
    if act not in ACTS:
        raise refuse("not-found")
    try:
        messages.success(request, ACTS[act](request, found))
    except NotAllowed:
        raise
    except Refusal as refusal:
        if refusal.code in TO_CONFIRM:
            return _ask(request, found, act, refusal)
        messages.error(request, str(refusal))
    return redirect("web:desk-rescore", slug, phase_slug)


def _ask(request: SignedInRequest, found: Phase, act: str, refusal: Refusal) -> HttpResponse:
    """Show what an act would queue, with the button that confirms exactly that."""
    context = challenge_context(request, found.challenge, current="desk") | {
        "shown": found,
        "act": act,
        "means": str(refusal),
        "confirmation": refusal.params["confirmation"],
        "is_stale": refusal.code.endswith("-stale"),
        "sent": [
            (name, value)
            for name, value in request.POST.items()
            if name not in ("csrfmiddlewaretoken", "confirmed")
        ],
    }
    return render(request, "web/desk_rescore_confirm.html", context, status=409)


def _page(request: SignedInRequest, found: Phase, form: RescoreForm) -> HttpResponse:
    challenge, row = found.challenge, selector.open_of(found)
    context = challenge_context(request, challenge, current="desk") | {
        "shown": found,
        "row": row,
        "state": STATES.get(RescoreState(row.state), "") if row else "",
        "progress": selector.progress(row) if row else None,
        "why": _why(row) if row else "",
        "is_ready": _is_ready(found),
        "form": form,
        "earlier": selector.ended_of(found),
        "failed_count": selector.failed_count(found) if _is_ready(found) else 0,
        "wanted_submission": request.GET.get("submission", "")[:40],
        "may_change": roles.may(request.user, Act.LABELS, challenge),
        "may_queue": roles.may(request.user, Act.RESCORE, challenge),
    }
    return render(request, "web/desk_rescore.html", context)


def _why(row: Rescore) -> str:
    """Say why a re-score stopped."""
    if row.error_code == "rescore-evidence-missing":
        return str(refuse("rescore-evidence-missing", count=row.result.get("blocking", 0)))
    if row.error_code == "rescore-stale":
        return str(refuse("rescore-stale"))
    if row.error_code == "split-missing":
        return gettext("No worker that took it has the list of public zones beside the labels.")
    if row.error_code == "worker-lost":
        return gettext("Its workers were lost three times: look at their logs.")
    return gettext("It was refused (%(code)s).") % {"code": row.error_code}


def _request(request: SignedInRequest, found: Phase) -> str:
    form = RescoreForm(request.POST, phase=found)
    if not form.is_valid():
        first = next(iter(form.errors.items()))
        label = form.fields[first[0]].label if first[0] in form.fields else ""
        raise refuse("form-invalid", field=label, problem=str(first[1][0]))
    rescores.request(
        phase=found,
        ground_truth=form.cleaned_data["labels"],
        task_spec=form.cleaned_data["task"],
        method=Rescore.Method(form.cleaned_data["method"]),
        actor=request.user,
        confirmed=request.POST.get("confirmed", ""),
    )
    return gettext("Asked for: a worker makes the preview. Nothing is published by it.")


def _again(request: SignedInRequest, found: Phase) -> str:
    rescores.preview_again(row=_open(found), actor=request.user)
    return gettext("Asked for: a worker makes the preview. Nothing is published by it.")


def _publish(request: SignedInRequest, found: Phase) -> str:
    digest = request.POST.get("digest", "")
    rescores.confirm(row=_open(found), actor=request.user, digest=digest)
    return gettext("Confirmed: a worker publishes exactly what was previewed, or nothing.")


def _missing(request: SignedInRequest, found: Phase) -> str:
    confirmed = request.POST.get("confirmed", "")
    count = rescores.score_missing(row=_open(found), actor=request.user, confirmed=confirmed)
    return _queued(count)


def _give_up(request: SignedInRequest, found: Phase) -> str:
    rescores.give_up(row=_open(found), actor=request.user)
    return gettext("Given up. The leaderboard is as it was.")


def _queue(request: SignedInRequest, found: Phase) -> str:
    """Queue under what counts: ``all``, ``failed``, or the submission of a number or an id."""
    which = request.POST.get("which", "all")
    submissions = None
    if which == "one":
        submissions = [_submission(request, found)]
    elif which not in ("all", "failed"):
        raise refuse("not-found")
    queued = rescoring.enqueue(
        phase=found,
        submissions=submissions,
        force=which != "failed",
        failed_only=which == "failed",
        actor=request.user,
        confirmed=request.POST.get("confirmed", ""),
    )
    return _queued(len(queued))


def _queued(count: int) -> str:
    return ngettext(
        "%(count)s submission is queued again.", "%(count)s submissions are queued again.", count
    ) % {"count": count}


def _submission(request: SignedInRequest, found: Phase) -> Submission:
    wanted = request.POST.get("submission", "").strip()
    rows = submission_selectors.of_challenge(found.challenge, user=request.user)
    for row in rows.filter(entry__phase=found, pk__in=_uuids(wanted)):
        return row
    raise refuse("not-found")


def _uuids(text: str) -> list[UUID]:
    try:
        return [UUID(text)]
    except ValueError:
        return []


def _open(found: Phase) -> Rescore:
    row = selector.open_of(found)
    if row is None:
        raise refuse("not-found")
    return row


def _is_ready(found: Phase) -> bool:
    return found.ground_truth_id is not None and found.task_spec_id is not None


def _phase(request: SignedInRequest, slug: str, phase_slug: str) -> Phase:
    challenge: Challenge = desk.challenge_of(request, slug)
    rows = Phase.objects.defer("public_patches").select_related(
        "challenge", "ground_truth", "task_spec"
    )
    found = rows.filter(challenge=challenge, slug=phase_slug).first()
    if found is None:
        raise refuse("not-found")
    return found


ACTS: dict[str, Callable[[SignedInRequest, Phase], str]] = {
    "request": _request,
    "again": _again,
    "publish": _publish,
    "missing": _missing,
    "give-up": _give_up,
    "queue": _queue,
}
