"""The lines of the quota ledger that count for a team in a phase."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from django.db.models import Count, Exists, OuterRef, Q

from challenge.models import Entry, FormerMembership, Phase, QuotaLine
from challenge.rules.lifecycle import QuotaMove
from challenge.rules.quota import Line


def of_teams(team_ids: Collection[int], *, phase: Phase) -> Iterator[Line]:
    """Yield the lines of teams in a phase, equal ones counted together. One query.

    Their own, and those of other teams that a member's mailbox was in, under an account that was
    deleted since: what was submitted until then. A line counts once.
    """
    former = FormerMembership.objects.filter(mailbox__user__memberships__team__in=team_ids)
    while_a_member = former.filter(
        team=OuterRef("entry__team"), left_at__gte=OuterRef("submission__created_at")
    )
    entries = Entry.objects.filter(
        Q(team__in=team_ids) | Q(team__in=former.values("team")), phase=phase
    )
    lines = (
        QuotaLine.objects.filter(entry__in=entries)
        .filter(Q(entry__team__in=team_ids) | Q(Exists(while_a_member)))
        .order_by()
        .values_list("move", "day", "reason")
        .annotate(count=Count("pk"))
    )
    for move, day, reason, count in lines:
        yield Line(QuotaMove(move), day, reason, count)


def by_entry(phase: Phase) -> dict[int, list[Line]]:
    """Return every entry's own lines in a phase, equal ones counted together (one query)."""
    lines = (
        QuotaLine.objects.filter(entry__phase=phase)
        .order_by()
        .values_list("entry", "move", "day", "reason")
        .annotate(count=Count("pk"))
    )
    found: dict[int, list[Line]] = {}
    for entry, move, day, reason, count in lines:
        found.setdefault(entry, []).append(Line(QuotaMove(move), day, reason, count))
    return found
