"""The page that imports a CodaLab or Codabench bundle as a draft."""

from __future__ import annotations

from pathlib import Path

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.errors import NotAllowed, Refusal, refuse
from challenge.selectors import roles
from challenge.services.challenges import bundle_import, bundle_words
from challenge.services.challenges.bundle_dates import Order
from challenge.services.challenges.toml_document import FileMistakes
from challenge.web import mistake_words
from challenge.web.requests import SignedInRequest, page_view


class BundleForm(forms.Form):
    """A bundle, the draft's address, and how its dates are meant."""

    bundle = forms.FileField(
        label=_("Bundle (zip)"),
        widget=forms.FileInput(attrs={"accept": ".zip,application/zip"}),
        help_text=_("with competition.yaml; nothing of it is run or kept"),
    )
    slug = forms.CharField(label=_("Address"), max_length=50)
    dates = forms.ChoiceField(
        label=_("Dates such as 8-01-2025"),
        choices=[
            (Order.ASK.value, _("are to be asked about")),
            (Order.MONTH_FIRST.value, _("begin with the month: 1 August")),
            (Order.DAY_FIRST.value, _("begin with the day: 8 January")),
        ],
    )


@page_view("GET", "POST", sign_in=True, cache=False)
def import_bundle(request: SignedInRequest) -> HttpResponse:
    """Import a bundle; answer what is to do, what was left out and what was read."""
    if not roles.may_create(request.user):
        raise refuse("challenge-creation-refused")
    sent = request.method == "POST"
    form = BundleForm(request.POST, request.FILES) if sent else BundleForm()
    context: dict[str, object] = {"form": form}
    if sent and form.is_valid():
        data = form.cleaned_data
        try:
            made, bundle = bundle_import.create(
                Path(data["bundle"].temporary_file_path()),
                actor=request.user,
                slug=data["slug"].strip(),
                order=Order(data["dates"]),
            )
        except FileMistakes as error:
            for mistake in error.mistakes:
                form.add_error(None, mistake_words.words(mistake.message))
        except NotAllowed:
            raise
        except Refusal as refusal:
            field = "slug" if refusal.code.startswith("challenge") else "bundle"
            form.add_error(field, str(refusal))
        else:
            messages.success(request, gettext("The draft is created. Nobody else sees it."))
            context |= {"made": made, "groups": bundle_words.groups(bundle.notes)}
    status = 422 if form.errors else 200
    return render(request, "web/challenge_import.html", context, status=status)
