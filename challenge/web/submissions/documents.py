"""A team's page of the documents that organisers ask winners for, and their download."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.errors import Refusal
from challenge.models import DocumentRequest, WinnerDocument
from challenge.selectors import documents as selector
from challenge.selectors import pages
from challenge.services.storage import archives
from challenge.services.teams import winner_documents as service
from challenge.web import file_answers, zone_text
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context


class DocumentForm(forms.Form):
    """One document: a file, or where it is on the web."""

    kind = forms.ChoiceField(label=_("Document"), choices=WinnerDocument.Kind.choices)
    file = forms.FileField(
        label=_("File"),
        required=False,
        help_text=_("Code: a zip or tar.gz of at most 500 MB. Report: a PDF of at most 50 MB."),
    )
    link = forms.CharField(
        label=_("or a web address"), required=False, max_length=service.LINK_CHARACTERS
    )


@page_view("GET", "POST", sign_in=True, cache=False)
def documents(request: SignedInRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Show a team what it was asked for and what it sent; take a document."""
    phase = pages.phase_by_slug(slug, phase_slug, user=request.user)
    row = selector.own_request(request.user, phase)
    form, status = DocumentForm(), 200
    if request.method == "POST":
        form = DocumentForm(request.POST, request.FILES)
        status = 422
        if form.is_valid():
            try:
                _deliver(request, row, form)
            except Refusal as refusal:
                form.add_error(None, str(refusal))
                status = refusal.status
            else:
                messages.success(request, gettext("Delivered: the organisers see it."))
                return redirect("web:documents", slug, phase_slug)
    ended = {DocumentRequest.State.ACCEPTED, DocumentRequest.State.REFUSED}
    context = challenge_context(request, phase.challenge, current="team") | {
        "shown": phase,
        "row": row,
        "documents": list(row.documents.all()),
        "deadline": zone_text.both(row.deadline, zone_text.zone_of(phase.challenge)),
        "open": row.state not in ended and timezone.now() <= row.deadline,
        "form": form,
    }
    return render(request, "web/documents.html", context, status=status)


def _deliver(request: SignedInRequest, row: DocumentRequest, form: DocumentForm) -> None:
    sent = form.cleaned_data["file"]
    service.deliver(
        row=row,
        actor=request.user,
        kind=form.cleaned_data["kind"],
        link=form.cleaned_data["link"],
        file=sent.file if sent else None,
        file_name=sent.name if sent else "",
    )


@page_view("GET", sign_in=True)
def download(
    request: SignedInRequest, slug: str, phase_slug: str, document_id: int
) -> HttpResponseBase:
    """Answer a delivered file as an attachment, to its team, owners and judges."""
    phase = pages.phase_by_slug(slug, phase_slug, user=request.user)
    found = selector.file_of(request.user, phase, document_id)
    answer = file_answers.answer(
        request,
        size_bytes=found.size_bytes,
        read=lambda first, end: archives.read_stored(found.stored_name, first=first, end=end),
        file_name=selector.file_name(found, phase=phase),
    )
    answer["Content-Type"] = "application/octet-stream"
    answer["X-Content-Type-Options"] = "nosniff"
    return answer
