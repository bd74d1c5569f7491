"""The desk's page of announcements: what was told everybody, and the form that tells more."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.errors import NotAllowed, Refusal, refuse
from challenge.models import Announcement, Challenge
from challenge.rules.roles import Act
from challenge.selectors import pages, roles
from challenge.services.notifications import announcements as service
from challenge.services.notifications.messages import BODY_CHARACTERS, SUBJECT_CHARACTERS
from challenge.web import desk
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context

PAGE_ROWS = 20


class AnnouncementForm(forms.Form):
    """An announcement in each language of the site, and whom it is mailed to."""

    mail_to = forms.ChoiceField(label=_("E-mail to"), choices=Announcement.MailTo.choices)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for language, name in settings.LANGUAGES:
            self.fields[f"title_{language}"] = forms.CharField(
                label=_("Title (%(language)s)") % {"language": name},
                required=False,
                max_length=SUBJECT_CHARACTERS,
                widget=forms.TextInput(attrs={"lang": language}),
            )
            self.fields[f"body_{language}"] = forms.CharField(
                label=_("Text (%(language)s)") % {"language": name},
                required=False,
                max_length=BODY_CHARACTERS,
                widget=forms.Textarea(attrs={"rows": 6, "lang": language}),
            )
        self.order_fields([name for name in self.fields if name != "mail_to"])

    def texts(self, name: str) -> dict[str, str]:
        """Return the titles or the bodies by language, empty ones among them."""
        return {code: self.cleaned_data[f"{name}_{code}"] for code, _name in settings.LANGUAGES}


@page_view("GET", "POST", sign_in=True, cache=False)
def announcements(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer what was announced; editors and owners announce and withdraw there."""
    challenge = desk.challenge_of(request, slug)
    form = AnnouncementForm()
    if request.method == "POST":
        roles.require(request.user, Act.PAGES, challenge)
        if "withdraw" in request.POST:
            service.withdraw(announcement=_announced(request, challenge), actor=request.user)
            messages.success(request, gettext("The announcement is off the site."))
            return redirect("web:desk-announcements", slug)
        form = AnnouncementForm(request.POST)
        if form.is_valid() and _publish(request, challenge, form):
            messages.success(request, gettext("Announced."))
            return redirect("web:desk-announcements", slug)
    rows = Paginator(pages.news(challenge).select_related("created_by"), PAGE_ROWS)
    context = challenge_context(request, challenge, current="desk") | {
        "form": form,
        "page_rows": rows.get_page(request.GET.get("page", 1)),
        "may_write": roles.may(request.user, Act.PAGES, challenge),
    }
    status = 422 if form.errors else 200
    return render(request, "web/desk_announcements.html", context, status=status)


def _publish(request: SignedInRequest, challenge: Challenge, form: AnnouncementForm) -> bool:
    """Publish what the form says; False, with the error in the form, where it is refused."""
    try:
        service.publish(
            challenge=challenge,
            actor=request.user,
            title=form.texts("title"),
            body=form.texts("body"),
            mail_to=Announcement.MailTo(form.cleaned_data["mail_to"]),
        )
    except NotAllowed:
        raise
    except Refusal as refusal:
        form.add_error(None, str(refusal))
        return False
    return True


def _announced(request: SignedInRequest, challenge: Challenge) -> Announcement:
    number = request.POST.get("withdraw", "")
    found = None
    if number.isdecimal() and len(number) < 18:
        found = pages.news(challenge).filter(pk=int(number)).first()
    if found is None:
        raise refuse("not-found")
    found.challenge = challenge
    return found
