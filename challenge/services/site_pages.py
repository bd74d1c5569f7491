"""Writing the site's own pages (accessibility, legal notice, privacy): every save is a version."""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import SitePage, User
from challenge.rules.languages import LANGUAGES
from challenge.selectors import roles, site_pages
from challenge.services import audit

TITLE_CHARACTERS = 200
MARKDOWN_CHARACTERS = 100_000


def save(
    *,
    actor: User,
    slug: str,
    language: str,
    title: str,
    markdown: str,
    seen: int,
    now: datetime | None = None,
) -> SitePage:
    """Write a page in one language and return its version; the same text makes no new one.

    ``seen`` is the version that the writer began with, 0 for the text that comes with the platform.
    Raises NotAllowed ``not-operator``, NotFound ``not-found`` (no such page), Conflict
    ``page-changed-meanwhile`` and what `check` raises.
    """
    if not roles.is_operator(actor):
        raise refuse("not-operator")
    title, markdown = title.strip(), markdown.replace("\r\n", "\n").strip() + "\n"
    check(slug=slug, language=language, title=title, markdown=markdown)
    with transaction.atomic():
        # Nobody else writes between the look at the last version and the next one.
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE challenge_sitepage IN SHARE ROW EXCLUSIVE MODE")
        last = site_pages.current(slug, language)
        number = last.number if last is not None else 0
        if seen != number:
            raise refuse("page-changed-meanwhile")
        if last is not None and (last.title, last.markdown) == (title, markdown):
            return last
        version = SitePage.objects.create(
            slug=slug,
            language=language,
            number=number + 1,
            title=title,
            markdown=markdown,
            author=actor,
            created_at=now or timezone.now(),
        )
        audit.record(
            "site-page.save",
            actor=actor,
            target=f"{slug}.{language}",
            now=now,
            before=number or None,
            after=version.number,
        )
    site_pages.forget_titles()
    return version


def check(*, slug: str, language: str, title: str, markdown: str) -> None:
    """Refuse what no page may be.

    Raises NotFound ``not-found``, Refusal ``page-title-invalid``, ``page-too-long``,
    ``page-empty``.
    """
    if slug not in SitePage.Slug.values or language not in LANGUAGES:
        raise refuse("not-found")
    if not 0 < len(title) <= TITLE_CHARACTERS:
        raise refuse("page-title-invalid", allowed=TITLE_CHARACTERS)
    if len(markdown) > MARKDOWN_CHARACTERS:
        raise refuse("page-too-long", found=len(markdown), allowed=MARKDOWN_CHARACTERS)
    if not markdown.strip():
        raise refuse("page-empty")
