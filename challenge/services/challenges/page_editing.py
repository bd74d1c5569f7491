"""Writing a challenge's pages on the desk: every change makes a version, none is ever lost."""

from __future__ import annotations

import re
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Challenge, Page, PageVersion, User
from challenge.rules.languages import LANGUAGES
from challenge.rules.roles import Act
from challenge.selectors import page_versions, roles
from challenge.services import audit
from challenge.services.challenges import schema
from challenge.services.challenges.pages import NEEDED_PAGES, faults_in

TITLE_CHARACTERS = 200
MARKDOWN_CHARACTERS = 200_000


def save(
    *,
    challenge: Challenge,
    actor: User,
    slug: str,
    language: str,
    title: str,
    markdown: str,
    seen: int,
    now: datetime | None = None,
) -> PageVersion:
    """Write a page in one language and return its version; the first save adds the page.

    ``seen`` is the version that the writer began with, 0 for none. The same text once more makes
    no new version. Raises what `roles.require` raises (``Act.PAGES``), `check` and Conflict
    ``page-changed-meanwhile``: somebody else saved since, and nothing is written.
    """
    roles.require(actor, Act.PAGES, challenge)
    markdown = markdown.replace("\r\n", "\n").strip() + "\n"
    with transaction.atomic():
        Challenge.objects.select_for_update().get(pk=challenge.pk)
        check(challenge, slug=slug, language=language, title=title, markdown=markdown)
        page = challenge.pages.filter(slug=slug, language=language).first()
        if seen != page_versions.current_number(challenge, slug, language):
            raise refuse("page-changed-meanwhile")
        last = keep(page, actor=None, now=now) if page is not None else None
        if page is None:
            page = Page(challenge=challenge, slug=slug, language=language)
            page.sort_order = _sort_order(challenge, slug)
        page.title, page.markdown = title.strip(), markdown
        page.save()
        version = keep(page, actor=actor, now=now)
        if last is None or version.pk != last.pk:
            audit.record(
                "page.save",
                actor=actor,
                challenge=challenge,
                target=page,
                now=now,
                before=last.number if last is not None else None,
                after=version.number,
            )
    return version


def restore(
    *, challenge: Challenge, actor: User, version: PageVersion, now: datetime | None = None
) -> PageVersion:
    """Make a page say what a version of it said: a new version. Also of a page that was removed.

    Raises what `save` raises.
    """
    return save(
        challenge=challenge,
        actor=actor,
        slug=version.slug,
        language=version.language,
        title=version.title,
        markdown=version.markdown,
        seen=page_versions.current_number(challenge, version.slug, version.language),
        now=now,
    )


def remove(*, challenge: Challenge, actor: User, slug: str, now: datetime | None = None) -> None:
    """Remove a page in every language; its versions stay.

    Raises what `roles.require` raises (``Act.PAGES``), NotFound ``not-found``, Refusal
    ``page-needed``: the challenge is published and joining leads through this page.
    """
    roles.require(actor, Act.PAGES, challenge)
    with transaction.atomic():
        locked = Challenge.objects.select_for_update().get(pk=challenge.pk)
        found = list(locked.pages.filter(slug=slug))
        if not found:
            raise refuse("not-found")
        if locked.is_published and slug in NEEDED_PAGES:
            raise refuse("page-needed", slug=slug)
        kept = {page.language: keep(page, actor=None, now=now).number for page in found}
        locked.pages.filter(slug=slug).delete()
        audit.record(
            "page.remove",
            actor=actor,
            challenge=locked,
            target=f"{locked.slug}/{slug}",
            now=now,
            before=kept,
            after=None,
        )


def keep(page: Page, *, actor: User | None, now: datetime | None = None) -> PageVersion:
    """Return the version that holds what a page says now, written if the last one differs."""
    versions = PageVersion.objects.filter(
        challenge=page.challenge_id, slug=page.slug, language=page.language
    )
    last = versions.order_by("-number").first()
    if last is not None and (last.title, last.markdown) == (page.title, page.markdown):
        return last
    return PageVersion.objects.create(
        challenge_id=page.challenge_id,
        slug=page.slug,
        language=page.language,
        number=last.number + 1 if last is not None else 1,
        title=page.title,
        markdown=page.markdown,
        author=actor,
        created_at=now or timezone.now(),
    )


def check(challenge: Challenge, *, slug: str, language: str, title: str, markdown: str) -> None:
    """Refuse a page that a challenge's folder could not hold either.

    Raises Refusal ``page-slug-invalid``, ``page-language-unknown``, ``page-title-invalid``,
    ``page-too-long``, ``page-empty``, ``page-mark`` (it stands for nothing), ``page-link`` (to a
    page that is not there), the last two with their line.
    """
    if len(slug) > 50 or not re.fullmatch(schema.SLUG, slug):
        raise refuse("page-slug-invalid", slug=slug[:60])
    if language not in LANGUAGES:
        allowed = ", ".join(LANGUAGES)
        raise refuse("page-language-unknown", language=language[:20], allowed=allowed)
    if not 0 < len(title.strip()) <= TITLE_CHARACTERS:
        raise refuse("page-title-invalid", allowed=TITLE_CHARACTERS)
    if len(markdown) > MARKDOWN_CHARACTERS:
        raise refuse("page-too-long", found=len(markdown), allowed=MARKDOWN_CHARACTERS)
    slugs = sorted({*challenge.pages.values_list("slug", flat=True), slug})
    for fault in faults_in(markdown, slugs):
        facts = {"line": fault.line, "found": fault.found, "allowed": fault.allowed}
        raise refuse(f"page-{fault.kind}", **facts)


def _sort_order(challenge: Challenge, slug: str) -> int:
    """Return the place of a page's other language, else the one after the last."""
    rows = dict(challenge.pages.values_list("slug", "sort_order"))
    return rows.get(slug, max(rows.values(), default=-1) + 1)
