"""The desk's page of a phase's practice kit: upload, replace, withdraw."""

from __future__ import annotations

from pathlib import Path

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.errors import NotAllowed, Refusal, refuse
from challenge.models import Phase
from challenge.rules.roles import Act
from challenge.selectors import first_steps, pages, roles
from challenge.services.challenges import kits
from challenge.web import desk
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context


class KitForm(forms.Form):
    """A zip of images and masks, in any layout."""

    source = forms.FileField(
        label=_("Zip of images (and masks)"),
        widget=forms.FileInput(attrs={"accept": ".zip,application/zip"}),
        help_text=_("in any folders, at most 2 GB"),
    )


@page_view("GET", "POST", sign_in=True, cache=False)
def kit(request: SignedInRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Show a phase's kit; publish another, or withdraw it."""
    challenge = desk.challenge_of(request, slug)
    phase = pages.phase_by_slug(slug, phase_slug, user=request.user)
    form, status = KitForm(), 200
    if request.method == "POST":
        roles.require(request.user, Act.PHASES, challenge)
        if request.POST.get("act") == "remove":
            kits.remove(phase=phase, actor=request.user)
            messages.success(request, gettext("The kit is withdrawn."))
            return redirect("web:desk-kit", slug, phase_slug)
        form = KitForm(request.POST, request.FILES)
        if (told := _publish(request, phase, form)) is not None:
            messages.success(request, told)
            return redirect("web:desk-kit", slug, phase_slug)
        status = 422
    context = challenge_context(request, challenge, current="desk") | {
        "shown": phase,
        "kit": first_steps.kit_of(phase),
        "form": form,
        "may_change": roles.may(request.user, Act.PHASES, challenge),
    }
    return render(request, "web/desk_kit.html", context, status=status)


def _publish(request: SignedInRequest, phase: Phase, form: KitForm) -> str | None:
    """Publish the kit of the form's zip and say so; None: the form says what is wrong."""
    if not form.is_valid():
        return None
    sent = form.cleaned_data["source"]
    try:
        if sent.size > kits.MAX_SENT_BYTES:
            raise refuse("kit-too-large", limit_gb=kits.MAX_SENT_BYTES // 10**9)
        done = kits.publish(
            phase=phase,
            source=Path(sent.temporary_file_path()),
            source_name=sent.name,
            limit_bytes=kits.MAX_SENT_BYTES,
            actor=request.user,
        )
    except NotAllowed:
        raise
    except Refusal as refusal:
        form.add_error("source", str(refusal))
        return None
    if not done.changed:
        return gettext("This kit is published already.")
    return gettext("The kit is published.")
