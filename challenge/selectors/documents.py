"""Documents of winners: who was asked, what came, who is next."""

from __future__ import annotations

import re
from typing import Any

from challenge.errors import refuse
from challenge.models import (
    DocumentRequest,
    Membership,
    Phase,
    RankLine,
    Team,
    User,
    WinnerDocument,
)
from challenge.rules.roles import Act
from challenge.selectors import roles


def of_phase(phase: Phase) -> list[DocumentRequest]:
    """Return the requests of a phase by rank, with teams and documents (two queries)."""
    rows = phase.document_requests.select_related("team", "decided_by")
    return list(rows.prefetch_related("documents"))


def of_team(team: Team) -> list[DocumentRequest]:
    """Return what a team was asked for, in all phases, the last first (one query)."""
    return list(team.document_requests.select_related("phase").order_by("-asked_at", "-pk"))


def own_request(user: User, phase: Phase) -> DocumentRequest:
    """Return what a person's team was asked for in a phase. Raises NotFound."""
    membership = Membership.objects.filter(user=user, challenge=phase.challenge_id).first()
    rows = phase.document_requests.select_related("team", "phase__challenge")
    found = None
    if membership is not None:
        found = rows.filter(team=membership.team_id).prefetch_related("documents").first()
    if found is None:
        raise refuse("not-found")
    return found


def file_of(user: User, phase: Phase, document_id: int) -> WinnerDocument:
    """Return a document in storage, to its team and to who may download archives.

    Raises NotFound: to nobody else does it exist.
    """
    rows = WinnerDocument.objects.filter(request__phase=phase).exclude(stored_name="")
    found = rows.select_related("request__team").filter(pk=document_id).first()
    if found is None:
        raise refuse("not-found")
    own = Membership.objects.filter(user=user, team=found.request.team_id).exists()
    if not own and not roles.may(user, Act.ARCHIVES, phase.challenge):
        raise refuse("not-found")
    return found


def file_name(document: WinnerDocument, *, phase: Phase) -> str:
    """Return the name under which a delivered file is saved, in letters that every disk takes."""
    ending = re.sub(r"[^A-Za-z0-9.]", "", document.original_name[-8:]).rpartition(".")[2].lower()
    team = document.request.team_id
    return f"{phase.challenge.slug}-{phase.slug}-{team}-{document.kind}.{ending or 'bin'}"


def next_lines(phase: Phase, *, count: int) -> list[RankLine]:
    """Return the best ranked lines whose teams were not asked yet, best first (one query)."""
    asked = phase.document_requests.values("team")
    lines = RankLine.objects.filter(phase=phase, rank__isnull=False)
    lines = lines.exclude(entry__team__in=asked).exclude(entry__team__is_platform=True)
    return list(lines.select_related("entry__team").order_by("rank", "pk")[:count])


def missing(phase: Phase) -> list[dict[str, Any]]:
    """Return the teams that were asked and whose documents nobody accepted (one query)."""
    rows = phase.document_requests.exclude(state=DocumentRequest.State.ACCEPTED)
    return [
        {"team": name, "rank": rank, "state": state}
        for name, rank, state in rows.values_list("team__name", "rank", "state")
    ]
