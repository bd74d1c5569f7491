"""The desk's pages of registrations: who waits, approve and refuse, the admission list."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, ngettext

from challenge.errors import NotAllowed, Refusal, refuse
from challenge.models import Challenge
from challenge.rules.roles import Act
from challenge.selectors import registrations as selector
from challenge.selectors import roles
from challenge.services.teams import admission, teams
from challenge.web import desk
from challenge.web.people_forms import AdmissionForm
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context

SEARCH_CHARACTERS = 100
NOTE_CHARACTERS = 2000


@page_view("GET", sign_in=True, cache=False)
def registrations(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer who registered, fifty a page; addresses are for owners and judges."""
    challenge = desk.challenge_of(request, slug)
    may_decide = roles.may(request.user, Act.PEOPLE, challenge)
    search = request.GET.get("q", "").strip()[:SEARCH_CHARACTERS]
    state = request.GET.get("state", "")
    if not may_decide:
        search = ""  # it would tell addresses
    rows = selector.page(challenge, state=state, search=search, number=request.GET.get("page", 1))
    context = challenge_context(request, challenge, current="desk-people") | {
        "page_rows": rows,
        "search": search,
        "state": state,
        "counts": selector.counts(challenge),
        "versions": selector.versions(challenge),
        "may_decide": may_decide,
    }
    return render(request, "web/desk_registrations.html", context)


@page_view("POST", sign_in=True)
def decide(request: SignedInRequest, slug: str, pk: int) -> HttpResponse:
    """Approve or refuse one registration and go back to the list."""
    challenge = desk.challenge_of(request, slug)
    roles.require(request.user, Act.PEOPLE, challenge)
    registration = selector.get(challenge, pk)
    decision, lines = request.POST.get("decision", ""), request.POST.get("lines", "")
    note = request.POST.get("note", "")
    if decision not in {"approve", "refuse"} or lines not in {"", *teams.Lines}:
        raise refuse("not-found")
    try:
        if len(note) > NOTE_CHARACTERS:
            raise refuse("field-too-long", field="note", length=len(note), limit=NOTE_CHARACTERS)
        teams.decide_registration(
            registration=registration,
            actor=request.user,
            approved=decision == "approve",
            note=note,
            lines=teams.Lines(lines) if lines else None,
        )
    except NotAllowed:
        raise
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        person = {"name": registration.user.username}
        if decision == "approve":
            messages.success(request, gettext("%(name)s is approved and mailed.") % person)
        else:
            messages.success(request, gettext("%(name)s is refused and mailed.") % person)
    return redirect("web:desk-registrations", slug)


@page_view("GET", sign_in=True, cache=False)
def admissions(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer the list of addresses and domains that are approved at once."""
    challenge = desk.challenge_of(request, slug)
    roles.require(request.user, Act.PEOPLE, challenge)
    return _admission_page(request, challenge, AdmissionForm())


@page_view("POST", sign_in=True)
def admission_act(request: SignedInRequest, slug: str, act: str) -> HttpResponse:
    """Check a list, save it, take an entry off it, or say whether approval is needed at all."""
    challenge = desk.challenge_of(request, slug)
    if act not in ACTS:
        raise refuse("not-found")
    roles.require(request.user, Act.PEOPLE, challenge)
    return ACTS[act](request, challenge)


def _check(request: SignedInRequest, challenge: Challenge) -> HttpResponse:
    form = AdmissionForm(request.POST, request.FILES)
    if not form.is_valid():
        return _admission_page(request, challenge, form)
    text = form.cleaned_data["entries"]
    report = selector.report(challenge, text)
    filled = AdmissionForm(initial={"entries": text})
    return _admission_page(request, challenge, filled, report=report)


def _save(request: SignedInRequest, challenge: Challenge) -> HttpResponse:
    form = AdmissionForm(request.POST)
    if form.is_valid():
        try:
            added, approved = admission.add(
                challenge=challenge, actor=request.user, text=form.cleaned_data["entries"]
            )
        except NotAllowed:
            raise
        except Refusal as refusal:
            form.add_error("entries", str(refusal))
        else:
            told = ngettext("%(n)s entry added.", "%(n)s entries added.", added) % {"n": added}
            if approved:
                told += " " + ngettext(
                    "%(n)s registration that waited is approved and mailed.",
                    "%(n)s registrations that waited are approved and mailed.",
                    approved,
                ) % {"n": approved}
            messages.success(request, told)
            return redirect("web:desk-admission", challenge.slug)
    return _admission_page(request, challenge, form)


def _remove(request: SignedInRequest, challenge: Challenge) -> HttpResponse:
    number = request.POST.get("entry", "")
    if not number.isdecimal() or len(number) > 18:
        raise refuse("not-found")
    removed = admission.remove(challenge=challenge, actor=request.user, entry_id=int(number))
    messages.success(request, gettext("%(entry)s is off the list.") % {"entry": removed.value})
    return redirect("web:desk-admission", challenge.slug)


def _mode(request: SignedInRequest, challenge: Challenge) -> HttpResponse:
    wanted = request.POST.get("mode", "")
    if wanted not in {"automatic", "approval"}:
        raise refuse("not-found")
    admission.require_approval(
        challenge=challenge, actor=request.user, required=wanted == "approval"
    )
    messages.success(request, gettext("Saved."))
    return redirect("web:desk-admission", challenge.slug)


def _admission_page(
    request: SignedInRequest,
    challenge: Challenge,
    form: AdmissionForm,
    *,
    report: selector.Report | None = None,
) -> HttpResponse:
    search = request.GET.get("q", "").strip()[:SEARCH_CHARACTERS]
    context = challenge_context(request, challenge, current="desk-people") | {
        "form": form,
        "report": report,
        "good": "\n".join(report.listed.entries) if report else "",
        "search": search,
        "page_rows": selector.entries(challenge, search=search, number=request.GET.get("page", 1)),
    }
    status = 422 if form.errors else 200
    return render(request, "web/desk_admission.html", context, status=status)


ACTS: dict[str, Callable[[SignedInRequest, Challenge], HttpResponse]] = {
    "check": _check,
    "save": _save,
    "remove": _remove,
    "mode": _mode,
}
