"""The site's own pages: accessibility, legal notice, privacy. Operators write them here.

Until they do, each says what comes with the platform (``templates/web/site_pages``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.errors import NotAllowed, NotFound, Refusal, refuse
from challenge.models import SitePage
from challenge.selectors import languages, roles, site_pages
from challenge.services import site_pages as service
from challenge.web.requests import SignedInRequest, page_view

LANGUAGES = dict(settings.LANGUAGES)
SHOWN_VERSIONS = 20


@dataclass(frozen=True)
class Shown:
    """What a page says; ``number`` 0 is the text that comes with the platform."""

    title: str
    markdown: str
    number: int


class SitePageForm(forms.Form):
    """A page's title and its Markdown; ``seen`` is the version that the writer began with."""

    title = forms.CharField(
        label=_("Title"),
        max_length=service.TITLE_CHARACTERS,
        help_text=_("also the words of the link at the foot of every page"),
    )
    markdown = forms.CharField(
        label=_("Text (Markdown)"),
        max_length=service.MARKDOWN_CHARACTERS,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 24, "class": "code"}),
    )
    seen = forms.IntegerField(min_value=0, widget=forms.HiddenInput)


@page_view("GET")
def page(request: HttpRequest, site_page: str) -> HttpResponse:
    """Answer one of the site's pages in the viewer's language."""
    language = languages.current()
    context = {
        "page": _shown(site_page, language),
        "edit_address": (site_page, language) if roles.is_operator(request.user) else None,
    }
    return render(request, "web/site_page.html", context)


@page_view("GET", "POST", sign_in=True, cache=False)
def edit(request: SignedInRequest, site_page: str, language: str) -> HttpResponse:
    """Write one of the site's pages in a language: preview it (``act=preview``) or save it."""
    if not roles.is_operator(request.user):
        raise refuse("not-operator")
    if language not in LANGUAGES:
        raise refuse("not-found")
    stored = _shown(site_page, language)
    initial = {"title": stored.title, "markdown": stored.markdown, "seen": stored.number}
    form = SitePageForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "GET" or not form.is_valid():
        return _editor(request, site_page, language, form)
    data = form.cleaned_data
    words = {"title": data["title"], "markdown": data["markdown"]}
    try:
        service.check(slug=site_page, language=language, **words)
        if request.POST.get("act") == "preview":
            return _editor(request, site_page, language, form, preview=words)
        service.save(
            actor=request.user, slug=site_page, language=language, seen=data["seen"], **words
        )
    except (NotAllowed, NotFound):
        raise
    except Refusal as refusal:
        form.add_error(None, str(refusal))
        return _editor(request, site_page, language, form, preview=words, status=refusal.status)
    messages.success(request, gettext("Saved."))
    return redirect("web:site-page", site_page)


@page_view("GET")
def logo(request: HttpRequest) -> FileResponse:  # noqa: ARG001  Django gives it
    """Answer the logo of the body that runs the site (``LOGO_FILE``)."""
    if settings.LOGO_FILE is None:
        raise refuse("not-found")
    response = FileResponse(settings.LOGO_FILE.open("rb"))
    response["Cache-Control"] = "public, max-age=3600"
    # Nothing that a drawing may bring along is run, wherever it is opened.
    response["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return response


def foot_links() -> list[tuple[str, str]]:
    """Return (slug, title) of the site's pages in the current language."""
    language = languages.current()
    written = site_pages.written_titles()
    return [
        (slug, written.get((slug, language)) or _default_title(slug, language))
        for slug in SitePage.Slug.values
    ]


def _shown(slug: str, language: str) -> Shown:
    if slug not in SitePage.Slug.values:
        raise refuse("not-found")
    stored = site_pages.current(slug, language)
    if stored is None:
        return _default(slug, language)
    return Shown(stored.title, stored.markdown, stored.number)


@cache
def _default_title(slug: str, language: str) -> str:
    """Return the title of `_default`, which no setting changes: every page has it at its foot."""
    return _default(slug, language).title


def _default(slug: str, language: str) -> Shown:
    """Return the text that comes with the platform: its first line is the title."""
    known = language if language in LANGUAGES else settings.LANGUAGE_CODE
    text = render_to_string(
        f"web/site_pages/{slug}.{known}.md",
        {
            "organisation": settings.ORGANISATION_NAME,
            "contact_email": settings.CONTACT_EMAIL,
            "site_url": settings.SITE_URL,
            "site_name": settings.SITE_NAME,
        },
    )
    title, _newline, markdown = text.partition("\n")
    return Shown(title.removeprefix("# ").strip(), markdown.strip() + "\n", 0)


def _editor(
    request: SignedInRequest,
    slug: str,
    language: str,
    form: SitePageForm,
    *,
    preview: dict[str, str] | None = None,
    status: int | None = None,
) -> HttpResponse:
    context: dict[str, Any] = {
        "slug": slug,
        "name": SitePage.Slug(slug).label,
        "language": language,
        "language_name": LANGUAGES[language],
        "others": [(code, name) for code, name in LANGUAGES.items() if code != language],
        "form": form,
        "preview": preview,
        "versions": site_pages.versions(slug, language)[:SHOWN_VERSIONS],
    }
    status = status or (422 if form.errors else 200)
    return render(request, "web/site_page_edit.html", context, status=status)
