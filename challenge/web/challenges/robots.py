"""What search engines and finders of security holes ask a site for."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Challenge, SitePage
from challenge.selectors import languages, pages
from challenge.services import links
from challenge.web.context import addresses_by_language
from challenge.web.requests import page_view

# Nothing there is for strangers, or it is a program's.
CLOSED_TO_ROBOTS = ("/admin/", "/account/", "/accounts/", "/api/", "/invitations/", "/submissions/")
SECURITY_TEXT_KEPT = timedelta(days=180)


@page_view("GET", "HEAD")
def robots(_request: HttpRequest) -> HttpResponse:
    """Answer robots.txt: everything but people's own pages, and where the site map is."""
    lines = ["User-agent: *", *(f"Disallow: {path}" for path in CLOSED_TO_ROBOTS)]
    lines.append(f"Sitemap: {links.absolute(reverse('web:sitemap'))}")
    return HttpResponse("\n".join([*lines, ""]), content_type="text/plain; charset=utf-8")


@page_view("GET", "HEAD")
def sitemap(request: HttpRequest) -> HttpResponse:
    """Answer the addresses of all that is published, whoever asks."""
    paths = [reverse(f"web:{name}") for name in ("home", "help", "credits", "status")]
    paths += [reverse("web:site-page", args=[slug]) for slug in SitePage.Slug.values]
    for challenge in Challenge.objects.filter(is_published=True):
        paths += _paths_of(challenge)
    pages_listed = [
        (plain, addresses_by_language(plain).items()) for plain in map(links.absolute, paths)
    ]
    context = {"pages": pages_listed}
    return render(request, "web/sitemap.xml", context, content_type="application/xml")


def _paths_of(challenge: Challenge) -> list[str]:
    titles = pages.tab_pages(challenge, language=languages.current())
    slugs = [slug for slug, _title in titles if slug != "overview"]
    paths = [reverse(f"web:{name}", args=[challenge.slug]) for name in ("challenge", "news")]
    paths += [reverse("web:page", args=[challenge.slug, slug]) for slug in slugs]
    return paths + [
        reverse("web:leaderboard", args=[challenge.slug, phase.slug])
        for phase in pages.visible_phases(challenge, organiser=False)
    ]


@page_view("GET", "HEAD")
def security_text(_request: HttpRequest) -> HttpResponse:
    """Answer security.txt (RFC 9116); nothing is there where the site names no contact."""
    if not settings.CONTACT_EMAIL:
        raise refuse("not-found")
    expires = (timezone.now() + SECURITY_TEXT_KEPT).replace(hour=0, minute=0, second=0)
    lines = [
        f"Contact: mailto:{settings.CONTACT_EMAIL}",
        f"Expires: {expires.strftime('%Y-%m-%dT%H:%M:%SZ')}",
        "Preferred-Languages: en, fr",
        f"Canonical: {links.absolute(reverse('web:security-text'))}",
    ]
    return HttpResponse("\n".join([*lines, ""]), content_type="text/plain; charset=utf-8")
