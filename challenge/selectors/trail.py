"""A challenge's trail: what people with power did, filtered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet

from challenge.models import AuditEvent, Challenge, Submission, Team

PAGE_ROWS = 50
# So many submissions of a team are looked for in bulk acts.
SUBMISSIONS_MOST = 1000


@dataclass(frozen=True)
class Filter:
    """What is looked for; an empty field finds everything.

    ``person`` is a username, ``team`` a name, ``submission`` an id; ``since`` and ``until`` are
    moments, the second one excluded.
    """

    act: str = ""
    person: str = ""
    team: str = ""
    submission: str = ""
    since: datetime | None = None
    until: datetime | None = None


def events(challenge: Challenge, wanted: Filter) -> QuerySet[AuditEvent]:
    """Return the events of a challenge that a filter finds, the newest first (three queries).

    A submission is also found in bulk acts that name it, a team by its name, in the acts that name
    it, and by its submissions.
    """
    rows = AuditEvent.objects.filter(challenge=challenge).select_related("actor")
    if wanted.act:
        rows = rows.filter(action=wanted.act)
    if wanted.person:
        rows = rows.filter(actor__username__iexact=wanted.person)
    if wanted.team:
        rows = rows.filter(_of_team(challenge, wanted.team))
    if wanted.submission:
        rows = rows.filter(_of_submissions([wanted.submission]))
    if wanted.since is not None:
        rows = rows.filter(at__gte=wanted.since)
    if wanted.until is not None:
        rows = rows.filter(at__lt=wanted.until)
    return rows.order_by("-at", "-pk")


def page(challenge: Challenge, wanted: Filter, *, number: str | int = 1) -> Page[AuditEvent]:
    """Return a page of events (four queries)."""
    return Paginator(events(challenge, wanted), PAGE_ROWS).get_page(number)


def acts(challenge: Challenge) -> list[str]:
    """Return the acts that there are in a challenge's trail, in order (one query)."""
    rows = AuditEvent.objects.filter(challenge=challenge).order_by("action")
    return list(rows.values_list("action", flat=True).distinct())


def data_text(event: AuditEvent) -> str:
    """Return an event's data as JSON, without the digests of hidden labels of earlier releases."""
    shown: dict[str, Any] = {
        key: value
        for key, value in event.data.items()
        if (event.action, key) != ("ground_truth.install", "digest")
    }
    return json.dumps(shown, ensure_ascii=False) if shown else ""


def _of_team(challenge: Challenge, name: str) -> Q:
    ids = Submission.objects.filter(
        entry__phase__challenge=challenge, entry__team__name__iexact=name
    ).values_list("pk", flat=True)[:SUBMISSIONS_MOST]
    teams = list(
        Team.objects.filter(challenge=challenge, name__iexact=name).values_list("pk", flat=True)
    )
    named = (
        Q(target__iexact=name)
        | Q(data__team__in=teams)
        | Q(data__team__iexact=name)
        | Q(data__moves__contains=[name])
    )
    return named | _of_submissions([str(pk) for pk in ids])


def _of_submissions(ids: list[str]) -> Q:
    if not ids:
        return Q(pk__in=[])
    return Q(target__in=ids) | Q(data__submissions__has_any_keys=ids)
