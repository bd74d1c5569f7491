"""The desk's pages of the challenge's own pages: list, editor with preview, versions, preview."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.errors import NotAllowed, NotFound, Refusal, refuse
from challenge.models import Challenge, Page, PageVersion
from challenge.rules.roles import Act
from challenge.selectors import languages, page_versions, pages, roles
from challenge.services.challenges import page_editing, required_languages, schema
from challenge.web import desk
from challenge.web.challenges import blocks
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context

LANGUAGES = dict(settings.LANGUAGES)


class PageForm(forms.Form):
    """A page's title and its Markdown; ``seen`` is the version that the writer began with."""

    title = forms.CharField(label=_("Title"), max_length=page_editing.TITLE_CHARACTERS)
    markdown = forms.CharField(
        label=_("Text (Markdown)"),
        max_length=page_editing.MARKDOWN_CHARACTERS,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 24, "class": "code"}),
    )
    seen = forms.IntegerField(min_value=0, required=False, widget=forms.HiddenInput)


class NewPageForm(forms.Form):
    """The address of a page that is to be written."""

    page = forms.RegexField(
        label=_("Address of the page"),
        regex=schema.SLUG,
        max_length=50,
        help_text=_("a word in lower case, such as “data”"),
        error_messages={
            "invalid": _("Lower-case letters and digits, with single dashes between them.")
        },
    )


class LanguagesForm(forms.Form):
    """The languages in which pages and texts must be written."""

    languages = forms.MultipleChoiceField(
        label=_("Required languages"),
        choices=settings.LANGUAGES,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("the launch check lists what lacks one of them; nothing is removed"),
    )


@page_view("GET", "POST", sign_in=True, cache=False)
def index(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer the challenge's pages; an address that is given there leads to its empty editor.

    ``act=languages`` says in which languages everything must be written.
    """
    challenge = desk.challenge_of(request, slug)
    act = request.POST.get("act", "") if request.method == "POST" else None
    form = NewPageForm(request.POST if act == "" else None)
    languages_form = LanguagesForm(
        request.POST if act == "languages" else None,
        initial={"languages": challenge.required_languages},
    )
    if act is not None:
        roles.require(request.user, Act.PAGES, challenge)
        if form.is_valid():
            first = challenge.required_languages[0]
            return redirect("web:desk-page", slug, form.cleaned_data["page"], first)
        if languages_form.is_valid():
            codes = languages_form.cleaned_data["languages"]
            required_languages.require(challenge=challenge, actor=request.user, codes=codes)
            messages.success(request, gettext("Saved."))
            return redirect("web:desk-pages", slug)
    context = challenge_context(request, challenge, current="desk") | {
        "lines": page_versions.lines(challenge),
        "removed": page_versions.removed(challenge),
        "languages": LANGUAGES,
        "form": form,
        "languages_form": languages_form,
        "may_change": roles.may(request.user, Act.PAGES, challenge),
    }
    status = 422 if form.errors or languages_form.errors else 200
    return render(request, "web/desk_pages.html", context, status=status)


@page_view("GET", "POST", sign_in=True, cache=False)
def page(request: SignedInRequest, slug: str, page_slug: str, language: str) -> HttpResponse:
    """Edit a page in one language: preview it (``act=preview``), save it, or remove it."""
    challenge = desk.challenge_of(request, slug)
    roles.require(request.user, Act.PAGES, challenge)
    _check_language(language)
    act = request.POST.get("act", "save")
    if request.method == "POST" and act == "remove":
        return _remove(request, challenge, page_slug)
    form = PageForm(
        request.POST if request.method == "POST" else None,
        initial=_initial(challenge, page_slug, language),
    )
    if request.method == "GET" or not form.is_valid():
        return _editor(request, challenge, page_slug, language, form)
    data = form.cleaned_data
    shown = {"title": data["title"], "markdown": data["markdown"]}
    try:
        page_editing.check(challenge, slug=page_slug, language=language, **shown)
        if act == "preview":
            return _editor(request, challenge, page_slug, language, form, preview=shown)
        page_editing.save(
            challenge=challenge,
            actor=request.user,
            slug=page_slug,
            language=language,
            seen=data["seen"] or 0,
            **shown,
        )
    except (NotAllowed, NotFound):
        raise
    except Refusal as refusal:
        form.add_error(None, str(refusal))
        stale = refusal.code == "page-changed-meanwhile"
        meanwhile = page_versions.of_page(challenge, page_slug, language).first() if stale else None
        return _editor(
            request, challenge, page_slug, language, form, preview=shown, meanwhile=meanwhile
        )
    messages.success(request, gettext("Saved."))
    return redirect("web:desk-page", slug, page_slug, language)


@page_view("GET", "POST", sign_in=True, cache=False)
def version(request: SignedInRequest, slug: str, pk: int) -> HttpResponse:
    """Show what a version said; make the page say it again."""
    challenge = desk.challenge_of(request, slug)
    roles.require(request.user, Act.PAGES, challenge)
    found = page_versions.get(challenge, pk)
    page_slug, language = found.slug, found.language
    if request.method == "POST":
        try:
            page_editing.restore(challenge=challenge, actor=request.user, version=found)
        except (NotAllowed, NotFound):
            raise
        except Refusal as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, gettext("The page says again what this version said."))
            return redirect("web:desk-page", slug, page_slug, language)
    context = challenge_context(request, challenge, current="desk") | {
        "version": found,
        "language_name": LANGUAGES.get(language, language),
        "is_current": found.number == page_versions.current_number(challenge, page_slug, language),
        "parts": _parts(request, challenge, found.markdown),
    }
    return render(request, "web/desk_page_version.html", context)


@page_view("GET", sign_in=True, cache=False)
def preview(request: SignedInRequest, slug: str, page_slug: str) -> HttpResponse:
    """Answer a page as a participant sees it, published or not."""
    challenge = desk.challenge_of(request, slug)
    shown = pages.page(challenge, slug=page_slug, language=languages.current())
    context = challenge_context(request, challenge, current=page_slug, as_participant=True)
    parts = blocks.parts(
        shown.markdown, challenge=challenge, phases=context["phase_statuses"], registered=True
    )
    context |= {
        "page": shown,
        "parts": parts,
        "contents": blocks.contents(parts),
        "previewed": True,
        "on_overview": page_slug == "overview",
    }
    return render(request, "web/page.html", context)


def _remove(request: SignedInRequest, challenge: Challenge, page_slug: str) -> HttpResponse:
    try:
        page_editing.remove(challenge=challenge, actor=request.user, slug=page_slug)
    except (NotAllowed, NotFound):
        raise
    except Refusal as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, gettext("The page is removed; its versions stay."))
    return redirect("web:desk-pages", challenge.slug)


def _editor(
    request: SignedInRequest,
    challenge: Challenge,
    page_slug: str,
    language: str,
    form: PageForm,
    *,
    preview: dict[str, str] | None = None,
    meanwhile: PageVersion | None = None,
) -> HttpResponse:
    stored = _stored(challenge, page_slug, language)
    context = challenge_context(request, challenge, current="desk") | {
        "page_slug": page_slug,
        "language": language,
        "language_name": LANGUAGES[language],
        "others": [(code, name) for code, name in LANGUAGES.items() if code != language],
        "stored": stored,
        "form": form,
        "seen": meanwhile.number if meanwhile else form["seen"].value() or 0,
        "meanwhile": meanwhile,
        "preview": preview,
        "parts": _parts(request, challenge, preview["markdown"]) if preview else [],
        "versions": page_versions.of_page(challenge, page_slug, language).defer("markdown")[
            : page_versions.SHOWN_VERSIONS
        ],
        "current": page_versions.current_number(challenge, page_slug, language),
    }
    status = 409 if meanwhile is not None else 422 if form.errors else 200
    return render(request, "web/desk_page.html", context, status=status)


def _parts(request: HttpRequest, challenge: Challenge, markdown: str) -> list[dict[str, Any]]:
    statuses = pages.phase_statuses(challenge, user=request.user)
    return blocks.parts(markdown, challenge=challenge, phases=statuses, registered=True)


def _initial(challenge: Challenge, page_slug: str, language: str) -> dict[str, Any]:
    stored = _stored(challenge, page_slug, language)
    if stored is None:
        return {"seen": 0}
    number = page_versions.current_number(challenge, page_slug, language)
    return {"title": stored.title, "markdown": stored.markdown, "seen": number}


def _stored(challenge: Challenge, page_slug: str, language: str) -> Page | None:
    return challenge.pages.filter(slug=page_slug, language=language).first()


def _check_language(language: str) -> None:
    if language not in LANGUAGES:
        raise refuse("not-found")
