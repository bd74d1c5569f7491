"""What the desk shows of a challenge's pages and of their versions."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db.models import QuerySet

from challenge.errors import refuse
from challenge.models import Challenge, PageVersion

SHOWN_VERSIONS = 50


@dataclass(frozen=True)
class PageLine:
    """A page on the desk's list; ``titles`` are {language: title} of those that are written.

    ``required`` are the languages in which the challenge wants its pages.
    """

    slug: str
    required: tuple[str, ...]
    titles: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return next(iter(self.titles.values()), self.slug)

    @property
    def missing(self) -> list[str]:
        """The required languages in which it is not written."""
        return [code for code in self.required if code not in self.titles]


def lines(challenge: Challenge) -> list[PageLine]:
    """Return the pages in order, each with its titles (one query)."""
    found: dict[str, PageLine] = {}
    required = tuple(challenge.required_languages)
    rows = challenge.pages.order_by("sort_order", "slug", "language")
    for slug, language, title in rows.values_list("slug", "language", "title"):
        found.setdefault(slug, PageLine(slug, required)).titles[language] = title
    return list(found.values())


def removed(challenge: Challenge) -> list[PageVersion]:
    """Return the last version of every page that is not there any more (two queries)."""
    there = set(challenge.pages.values_list("slug", "language"))
    last: dict[tuple[str, str], PageVersion] = {}
    for version in challenge.page_versions.order_by("number").defer("markdown"):
        last[version.slug, version.language] = version
    return [version for key, version in sorted(last.items()) if key not in there]


def of_page(challenge: Challenge, slug: str, language: str) -> QuerySet[PageVersion]:
    """Return the versions of a page in one language, the last first (one query)."""
    return (
        challenge.page_versions.filter(slug=slug, language=language)
        .select_related("author")
        .order_by("-number")
    )


def current_number(challenge: Challenge, slug: str, language: str) -> int:
    """Return the number of the version that a page shows; 0 where it is not there (two queries)."""
    if not challenge.pages.filter(slug=slug, language=language).exists():
        return 0
    last = of_page(challenge, slug, language).values_list("number", flat=True).first()
    return last or 0


def get(challenge: Challenge, pk: int) -> PageVersion:
    """Return one version of a challenge's page (one query). Raises NotFound ``not-found``."""
    found = challenge.page_versions.select_related("author").filter(pk=pk).first()
    if found is None:
        raise refuse("not-found")
    return found
