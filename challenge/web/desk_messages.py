"""The desk's pages of messages to participants: written, previewed, tried, sent, looked up."""

from __future__ import annotations

from django.contrib import messages as notices
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, ngettext

from challenge.errors import NotAllowed, Refusal, refuse
from challenge.models import Challenge, Phase
from challenge.rules.roles import Act
from challenge.selectors import messages as selector
from challenge.selectors import roles
from challenge.selectors.messages import Audience
from challenge.services.notifications import messages as service
from challenge.services.notifications.messages import Preview
from challenge.web import desk
from challenge.web.message_form import MessageForm
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context


@page_view("GET", sign_in=True, cache=False)
def messages(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer the messages that were sent; owners and judges write one there."""
    challenge = desk.challenge_of(request, slug)
    return _page(request, challenge, MessageForm(phases=_phases(challenge)))


@page_view("GET", sign_in=True, cache=False)
def message(request: SignedInRequest, slug: str, pk: int) -> HttpResponse:
    """Answer one message: its text, whom it was for, who has not got it."""
    challenge = desk.challenge_of(request, slug)
    found = selector.get(challenge, pk)
    may_write = roles.may(request.user, Act.PEOPLE, challenge)
    context = challenge_context(request, challenge, current="desk-people") | {
        "message": found,
        "audience": Audience.from_json(found.audience),
        "mails": service.mails(
            challenge, subject=found.subject, body=found.body, about_rules=found.about_rules
        ),
        "unsent": selector.unsent(found)[: selector.PAGE_ROWS] if may_write else [],
    }
    return render(request, "web/desk_message.html", context)


@page_view("POST", sign_in=True)
def act(request: SignedInRequest, slug: str, act: str) -> HttpResponse:
    """Preview a message, try it on oneself, or send it."""
    challenge = desk.challenge_of(request, slug)
    if act not in {"preview", "test", "send"}:
        raise refuse("not-found")
    roles.require(request.user, Act.PEOPLE, challenge)
    form = MessageForm(request.POST, phases=_phases(challenge))
    preview = None
    if form.is_valid():
        try:
            preview = _preview(request, challenge, form)
            if act == "test":
                _test(request, challenge, form)
            if act == "send":
                return _send(request, challenge, form)
        except NotAllowed:
            raise
        except Refusal as refusal:
            form.add_error(None, str(refusal))
    return _page(request, challenge, form, preview=preview)


def _preview(request: SignedInRequest, challenge: Challenge, form: MessageForm) -> Preview:
    return service.preview(
        challenge=challenge,
        actor=request.user,
        subject=form.subject(),
        body=form.body(),
        audience=form.audience(),
        about_rules=form.cleaned_data["about_rules"],
    )


def _test(request: SignedInRequest, challenge: Challenge, form: MessageForm) -> None:
    service.send_test(
        challenge=challenge,
        actor=request.user,
        subject=form.subject(),
        body=form.body(),
        about_rules=form.cleaned_data["about_rules"],
    )
    told = gettext("A test is on its way to %(email)s.") % {"email": request.user.email}
    notices.success(request, told)


def _send(request: SignedInRequest, challenge: Challenge, form: MessageForm) -> HttpResponse:
    sent = service.send(
        challenge=challenge,
        actor=request.user,
        subject=form.subject(),
        body=form.body(),
        audience=form.audience(),
        expected=form.cleaned_data["expected"] or 0,
        about_rules=form.cleaned_data["about_rules"],
    )
    n = sent.deliveries.count()
    told = ngettext(
        "The message is on its way to %(n)s person.",
        "The message is on its way to %(n)s people.",
        n,
    )
    notices.success(request, told % {"n": n})
    return redirect("web:desk-message", challenge.slug, sent.pk)


def _phases(challenge: Challenge) -> list[Phase]:
    return list(challenge.phases.defer("public_patches").order_by("sort_order", "opens_at"))


def _page(
    request: SignedInRequest,
    challenge: Challenge,
    form: MessageForm,
    *,
    preview: Preview | None = None,
) -> HttpResponse:
    context = challenge_context(request, challenge, current="desk-people") | {
        "form": form,
        "preview": preview,
        "may_write": roles.may(request.user, Act.PEOPLE, challenge),
        "page_rows": selector.page(challenge, number=request.GET.get("page", 1)),
    }
    status = 422 if form.errors else 200
    return render(request, "web/desk_messages.html", context, status=status)
