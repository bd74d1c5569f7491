"""The desk's page of duplicates: submissions of several teams with the same pixels, or nearly."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.errors import NotAllowed, Refusal, refuse
from challenge.models import PixelComparison
from challenge.rules.lifecycle import RunState
from challenge.rules.roles import Act
from challenge.selectors import duplicates as selector
from challenge.selectors import pages, roles
from challenge.services.submissions import pixel_comparisons as service
from challenge.web import desk
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context

# Why an archive could not be compared; any other code is shown as it is.
UNREAD = {
    "archive-removed": _("its archive was removed"),
    "archive-missing": _("its archive is not in storage"),
    "archive-rejected": _("its archive does not fit the phase's task any more"),
}


class ComparisonForm(forms.Form):
    """Which submissions are compared."""

    best = forms.IntegerField(
        label=_("How many teams, the best first"),
        initial=20,
        min_value=0,
        max_value=service.MOST,
    )
    chosen = forms.CharField(
        label=_("Other submissions of this phase"),
        help_text=_("The ids in their pages' addresses, one a line."),
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def clean_chosen(self) -> list[UUID]:
        """Return the ids; refuses a line that is none."""
        found = []
        for word in self.cleaned_data["chosen"].split():
            try:
                found.append(UUID(word))
            except ValueError:
                wrong = gettext("“%(word)s” is no submission's id.") % {"word": word[:40]}
                raise forms.ValidationError(wrong) from None
        return found


@page_view("GET", "POST", sign_in=True, cache=False)
def duplicates(request: SignedInRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Show exact twins and the last comparison; ask for a comparison, or cancel it."""
    challenge = desk.challenge_of(request, slug)
    phase = pages.phase_by_slug(slug, phase_slug, user=request.user)
    running = selector.open_comparison(phase)
    if request.method == "POST":
        roles.require(request.user, Act.VERDICTS, challenge)
        try:
            messages.success(request, _act(request, phase, running))
        except NotAllowed:
            raise
        except Refusal as refusal:
            messages.error(request, str(refusal))
        return redirect("web:desk-duplicates", slug, phase_slug)
    last = selector.last_comparison(phase)
    found = selector.near_twins(last) if last is not None else None
    context = challenge_context(request, challenge, current="desk") | {
        "shown": phase,
        "groups": selector.exact_twins(phase),
        "running": running,
        "last": last,
        "failed": last is not None and last.state == RunState.FAILED.value,
        "pairs": found.pairs[: selector.PAIRS_SHOWN] if found else [],
        "more": max(0, len(found.pairs) - selector.PAIRS_SHOWN) if found else 0,
        "unread": [(one, UNREAD.get(code, code)) for one, code in found.unread] if found else [],
        "disqualified": selector.disqualified_teams(phase),
        "form": ComparisonForm(),
        "may_ask": roles.may(request.user, Act.VERDICTS, challenge),
    }
    return render(request, "web/desk_duplicates.html", context)


def _act(request: SignedInRequest, phase: Any, running: PixelComparison | None) -> str:
    if request.POST.get("act") == "cancel":
        if running is None:
            raise refuse("not-found")
        service.cancel(row=running, actor=request.user)
        return gettext("Cancelled.")
    form = ComparisonForm(request.POST)
    if not form.is_valid():
        name, errors = next(iter(form.errors.items()))
        raise refuse("form-invalid", field=form.fields[name].label, problem=str(errors[0]))
    service.request(phase=phase, actor=request.user, **form.cleaned_data)
    return gettext("Asked for: a worker reads the archives and compares them.")
