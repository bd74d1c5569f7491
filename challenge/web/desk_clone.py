"""The desk's page of a challenge's next edition."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext

from challenge.errors import NotAllowed, Refusal, refuse
from challenge.rules.roles import Act
from challenge.selectors import roles
from challenge.services.challenges import cloning
from challenge.services.challenges.cloning import Clone
from challenge.web import desk
from challenge.web.create_forms import CloneForm
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context


@page_view("GET", "POST", sign_in=True, cache=False)
def clone(request: SignedInRequest, slug: str) -> HttpResponse:
    """Make a draft of the next edition; who may create challenges and owns this one may."""
    challenge = desk.challenge_of(request, slug)
    roles.require(request.user, Act.LABELS, challenge)
    if not roles.may_create(request.user):
        raise refuse("challenge-creation-refused")
    titles = {f"title_{code}": title for code, title in challenge.title.items()}
    form = CloneForm(
        request.POST if request.method == "POST" else None,
        initial=titles,
        languages=challenge.required_languages,
    )
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            made = cloning.clone(
                challenge=challenge,
                actor=request.user,
                slug=data["slug"].strip(),
                title=form.title(),
                days=data["days"],
            )
        except NotAllowed:
            raise
        except Refusal as refusal:
            form.add_error("days" if refusal.code.startswith("clone") else "slug", str(refusal))
        else:
            _tell(request, made)
            return redirect("web:desk-launch", made.challenge.slug)
    context = challenge_context(request, challenge, current="desk") | {"form": form}
    return render(request, "web/desk_clone.html", context, status=422 if form.errors else 200)


def _tell(request: SignedInRequest, made: Clone) -> None:
    messages.success(request, gettext("The next edition is a draft. Nobody else sees it."))
    if made.same_labels:
        messages.info(
            request,
            gettext(
                "On the same labels as before: %(list)s. While it takes submissions, values of "
                "the former edition that are still rounded stay so."
            )
            % {"list": ", ".join(made.same_labels)},
        )
    if made.needs_labels:
        messages.warning(
            request,
            gettext(
                "Without labels: %(list)s. Values of its labels left in full precision, or it "
                "had none: install others."
            )
            % {"list": ", ".join(made.needs_labels)},
        )
    if made.moved_in_hours:
        messages.warning(
            request,
            gettext("At a change of clocks, look at the times of: %(list)s.")
            % {"list": ", ".join(made.moved_in_hours)},
        )
