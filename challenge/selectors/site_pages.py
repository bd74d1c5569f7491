"""What the site's own pages say now, and what they are called at the foot of every page."""

from __future__ import annotations

from django.core.cache import cache
from django.db.models import QuerySet
from pydantic import TypeAdapter

from challenge.models import SitePage
from challenge.selectors.cached import cached

TITLES_KEPT_S = 60
TITLES_KEY = "site-page-titles"
TITLES = TypeAdapter(list[tuple[str, str, str]])


def current(slug: str, language: str) -> SitePage | None:
    """Return the last version of a page in a language; None where nobody wrote one (one query)."""
    return versions(slug, language).first()


def versions(slug: str, language: str) -> QuerySet[SitePage]:
    """Return the versions of a page in a language, the last first."""
    rows = SitePage.objects.filter(slug=slug, language=language)
    return rows.select_related("author").order_by("-number")


def written_titles() -> dict[tuple[str, str], str]:
    """Return {(slug, language): title} of what operators wrote (one query, kept for a minute)."""

    def read() -> list[tuple[str, str, str]]:
        rows = SitePage.objects.order_by("number").values_list("slug", "language", "title")
        last = {(slug, language): title for slug, language, title in rows}
        return [(slug, language, title) for (slug, language), title in last.items()]

    rows = cached(TITLES_KEY, read, kind=TITLES, kept_s=TITLES_KEPT_S)
    return {(slug, language): title for slug, language, title in rows}


def forget_titles() -> None:
    """Drop the kept titles: one was written."""
    cache.delete(TITLES_KEY)
