"""Importing a CodaLab or Codabench bundle as a draft: one service for the page and the command."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from django.db import transaction

from challenge.errors import refuse
from challenge.models import Challenge, User
from challenge.selectors import languages, roles
from challenge.services import audit
from challenge.services.challenges import bundle_archive, bundle_reading, drafts
from challenge.services.challenges.bundle_archive import BundleError
from challenge.services.challenges.bundle_dates import Order
from challenge.services.challenges.bundle_reading import Bundle
from scoring.engine.problems.problems import Refused


def look(path: Path, *, slug: str, order: Order = Order.ASK) -> Bundle:
    """Return what a bundle says, and write nothing.

    Raises Refusal ``bundle-archive-refused`` (no zip that can be trusted) and the codes of
    `BundleError`.
    """
    try:
        with bundle_archive.open_bundle(path) as archive:
            return bundle_reading.read(archive, slug=slug, order=order)
    except Refused as refused:
        raise refuse(
            "bundle-archive-refused", found=refused.problem.text(languages.current())
        ) from refused
    except BundleError as error:
        raise refuse(error.code, found=error.found) from error


def create(
    path: Path,
    *,
    actor: User,
    slug: str,
    order: Order = Order.ASK,
    now: datetime | None = None,
) -> tuple[Challenge, Bundle]:
    """Create the draft that a bundle describes, its texts in English alone; ``actor`` owns it.

    Raises what `look` and `drafts.create` raise, and Refusal ``bundle-dates-ambiguous``: somebody
    must say first what its dates mean. Nothing is written then.
    """
    if not roles.may_create(actor):
        raise refuse("challenge-creation-refused")
    drafts.check_slug(slug)
    bundle = look(path, slug=slug, order=order)
    if bundle.ambiguous:
        raise refuse("bundle-dates-ambiguous", found=", ".join(bundle.ambiguous))
    with transaction.atomic():
        challenge = drafts.create(actor=actor, description=bundle.description, now=now)
        # A bundle has one language: what the file format wants in French is not there.
        challenge.pages.exclude(language="en").delete()
        challenge.page_versions.exclude(language="en").delete()
        audit.record(
            "challenge.import",
            actor=actor,
            challenge=challenge,
            target=challenge,
            now=now,
            version=bundle.version,
            notes=[[note.kind, note.code, note.facts] for note in bundle.notes],
        )
    return challenge, bundle
