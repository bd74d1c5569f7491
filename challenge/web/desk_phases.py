"""The desk's first page, and its pages of phases: list, form, settlement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext

from challenge.errors import Refusal, refuse
from challenge.models import Challenge, Phase
from challenge.rules.roles import Act
from challenge.selectors import pages, phase_disclosure, roles
from challenge.services.challenges import phases as service
from challenge.services.challenges import settlement, time_zones
from challenge.web import consequences, zone_text
from challenge.web.phase_forms import NewPhaseForm, PhaseForm, SettleForm, TimeZoneForm
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context, phase_summary

TO_CONFIRM = frozenset({"phase-unconfirmed", "phase-confirmation-stale"})


@dataclass(frozen=True)
class Line:
    """A phase on the desk's list; ``gap_hours`` lie between the close before it and its opening."""

    summary: dict[str, Any]
    opens: str
    closes: str
    awaits_settlement: bool
    freezes_later: bool
    gap_hours: int | None


@page_view("GET", sign_in=True, cache=False)
def index(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer the desk's first page: where everything is."""
    challenge = _challenge(request, slug)
    context = challenge_context(request, challenge, current="desk")
    return render(request, "web/desk.html", context)


@page_view("GET", "POST", sign_in=True, cache=False)
def phases(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer the challenge's phases on its own clocks; who may sets the time zone there."""
    challenge = _challenge(request, slug)
    form = TimeZoneForm({"time_zone": challenge.time_zone})
    if request.method == "POST":
        roles.require(request.user, Act.PHASES, challenge)
        form = TimeZoneForm(request.POST)
        if form.is_valid():
            zone = form.cleaned_data["time_zone"]
            time_zones.set_time_zone(challenge=challenge, actor=request.user, time_zone=zone)
            messages.success(request, gettext("Saved. No moment was moved."))
            return redirect("web:desk-phases", slug)
    context = challenge_context(request, challenge, current="desk") | {
        "lines": _lines(challenge),
        "zone_form": form,
        "may_change": roles.may(request.user, Act.PHASES, challenge),
    }
    return render(request, "web/desk_phases.html", context, status=422 if form.errors else 200)


@page_view("GET", "POST", sign_in=True, cache=False)
def new(request: SignedInRequest, slug: str) -> HttpResponse:
    """Add a phase: not published, without labels yet."""
    challenge = _challenge(request, slug)
    roles.require(request.user, Act.PHASES, challenge)
    sent = request.POST if request.method == "POST" else None
    form = NewPhaseForm(
        sent, zone=zone_text.zone_of(challenge), languages=challenge.required_languages
    )
    if request.method == "POST" and form.is_valid():
        try:
            made = service.create(
                challenge=challenge,
                actor=request.user,
                slug=form.cleaned_data["slug"],
                values=form.values(),
            )
        except Refusal as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(
                request,
                gettext("The phase is added. Install its labels on a worker, then publish it."),
            )
            return redirect("web:desk-phase", slug, made.slug)
    context = challenge_context(request, challenge, current="desk") | {"form": form}
    return render(request, "web/desk_phase.html", context, status=422 if form.errors else 200)


@page_view("GET", "POST", sign_in=True, cache=False)
def phase(request: SignedInRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Show a phase's settings; save them once their consequences are confirmed."""
    challenge = _challenge(request, slug)
    edited = _phase(challenge, phase_slug)
    if request.method == "GET":
        return _page(request, edited, _form(request, edited))
    roles.require(request.user, Act.PHASES, challenge)
    form = _form(request, edited, data=request.POST)
    if not form.is_valid():
        return _page(request, edited, form, status=422)
    changes = form.changes()
    try:
        service.change(
            phase=edited,
            actor=request.user,
            changes=changes,
            seen=request.POST.get("seen", ""),
            confirmed=request.POST.get("confirmed", ""),
        )
    except Refusal as refusal:
        return _refused(request, edited, form, changes, refusal)
    messages.success(request, gettext("Saved."))
    return redirect("web:desk-phase", slug, phase_slug)


@page_view("POST", sign_in=True)
def settle(request: SignedInRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Settle a closed phase by hand, with a reason."""
    challenge = _challenge(request, slug)
    settled = _phase(challenge, phase_slug)
    roles.require(request.user, Act.PUBLISH, challenge)
    try:
        reason = request.POST.get("reason", "")[:500]
        settlement.settle(phase=settled, actor=request.user, reason=reason)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, gettext("The phase is settled."))
    return redirect("web:desk-phase", slug, phase_slug)


def _refused(
    request: SignedInRequest,
    edited: Phase,
    form: PhaseForm,
    changes: dict[str, Any],
    refusal: Refusal,
) -> HttpResponse:
    """Ask for the confirmation, or tell why nothing was saved."""
    if refusal.code == "phase-changed-meanwhile":
        entered = [(form[name].label, form[name].value()) for name in form.changed_data]
        fresh = _phase(edited.challenge, edited.slug)
        more = {"stale": str(refusal), "entered": entered}
        return _page(request, fresh, _form(request, fresh), status=409, **more)
    if refusal.code not in TO_CONFIRM:
        form.add_error(None, str(refusal))
        return _page(request, edited, form, status=422)
    asked = service.preview(phase=edited, actor=request.user, changes=changes)
    zone = zone_text.zone_of(edited.challenge)
    more = {
        "to_confirm": [consequences.text(one, zone=zone) for one in asked.consequences],
        "confirmation": asked.confirmation,
        "stale": str(refusal) if refusal.code == "phase-confirmation-stale" else "",
    }
    return _page(request, edited, form, status=409, **more)


def _page(
    request: SignedInRequest, edited: Phase, form: PhaseForm, *, status: int = 200, **more: Any
) -> HttpResponse:
    challenge, now = edited.challenge, timezone.now()
    closed = edited.closes_at is not None and now >= edited.closes_at
    context = challenge_context(request, challenge, current="desk") | {
        "edited": edited,
        "form": form,
        "seen": service.fingerprint(edited),
        "may_change": roles.may(request.user, Act.PHASES, challenge),
        "awaits_settlement": closed and not phase_disclosure.is_settled(edited, now=now),
        "settled": zone_text.both(edited.settled_at, zone_text.zone_of(challenge))
        if edited.settled_at is not None and edited.settlement_recorded
        else "",
        "settle_form": SettleForm() if roles.may(request.user, Act.PUBLISH, challenge) else None,
    }
    return render(request, "web/desk_phase.html", context | more, status=status)


def _form(request: SignedInRequest, edited: Phase, *, data: Any = None) -> PhaseForm:
    return PhaseForm(
        data,
        zone=zone_text.zone_of(edited.challenge),
        phase=edited,
        may_publish=roles.may(request.user, Act.PUBLISH, edited.challenge),
        languages=edited.challenge.required_languages,
    )


def _lines(challenge: Challenge) -> list[Line]:
    zone, now = zone_text.zone_of(challenge), timezone.now()
    ordered = challenge.phases.defer("public_patches").order_by("opens_at", "pk")
    lines: list[Line] = []
    last_close: datetime | None = None
    for row in ordered:
        gap = None
        if last_close is not None:
            gap = round((row.opens_at - last_close).total_seconds() / 3600)
        lines.append(
            Line(
                summary=phase_summary(pages.phase_status(row, now)),
                opens=zone_text.both(row.opens_at, zone),
                closes=zone_text.both(row.closes_at, zone) if row.closes_at else "",
                awaits_settlement=phase_disclosure.awaits_settlement(row, now=now),
                freezes_later=phase_disclosure.freezes_later(row, now=now),
                gap_hours=gap if gap is not None and gap > 0 else None,
            )
        )
        last_close = row.closes_at
    return lines


def _challenge(request: HttpRequest, slug: str) -> Challenge:
    challenge = pages.challenge_by_slug(slug, user=request.user)
    roles.require(request.user, Act.READ, challenge)
    return challenge


def _phase(challenge: Challenge, slug: str) -> Phase:
    found = challenge.phases.defer("public_patches").filter(slug=slug).first()
    if found is None:
        raise refuse("not-found")
    found.challenge = challenge
    return found
