"""Keeping dated states of a leaderboard, for who cites them."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import LeaderboardState, Phase, User
from challenge.selectors import leaderboard_states as selector
from challenge.services import signing, throttles

# However often a leaderboard changes and whoever asks, it grows by so many states a UTC day.
STATES_A_DAY = 24
MOMENTS = ("kept_at", "ranked_at")


def keep(*, phase: Phase, actor: User, now: datetime | None = None) -> LeaderboardState:
    """Keep what everybody sees of a leaderboard now; the last state, where it says the same.

    Anybody who signed in may. Raises Conflict ``state-board-hidden``, Refusal
    ``too-many-requests`` (ten an hour and person, four new ones a day and phase),
    ``states-used-up``.
    """
    now = (now or timezone.now()).replace(microsecond=0)
    throttles.check_kept_states(actor.pk)
    with transaction.atomic():
        phase = (
            Phase.objects.select_for_update(of=("self",), no_key=True)
            .select_related("challenge", "task_spec")
            .get(pk=phase.pk)
        )
        draft = selector.draft(phase, now=now)
        last = phase.leaderboard_states.first()
        if last is not None and (
            last.kept_at >= now
            or _without_moments(last.document) == _without_moments(draft.document)
        ):
            return last
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0)
        if phase.leaderboard_states.filter(kept_at__gte=midnight).count() >= STATES_A_DAY:
            raise refuse("states-used-up", limit=STATES_A_DAY)
        throttles.check_new_states(actor.pk, phase_id=phase.pk)
        # A line that is withheld later leaves its digest: without the nonce, names could be tried.
        lines = [line | {"nonce": secrets.token_hex(16)} for line in draft.document["lines"]]
        document = draft.document | {"lines": lines}
        line_digests = [_sha256(line) for line in lines]
        return LeaderboardState.objects.create(
            phase=phase,
            kept_at=now,
            document=document,
            line_digests=line_digests,
            sources=draft.sources,
            digest=digest_of(document, line_digests),
        )


def digest_of(document: dict[str, Any], line_digests: list[str]) -> str:
    """Return the SHA-256 of a document with the digests of its lines in place of the lines."""
    return _sha256(document | {"lines": line_digests})


def _sha256(document: dict[str, Any]) -> str:
    return hashlib.sha256(signing.canonical(document)).hexdigest()


def _without_moments(document: dict[str, Any]) -> dict[str, Any]:
    """Return what a state says, without when and without the nonces of its lines."""
    lines = [
        {name: value for name, value in line.items() if name != "nonce"}
        for line in document["lines"]
    ]
    return {name: value for name, value in document.items() if name not in MOMENTS} | {
        "lines": lines
    }
