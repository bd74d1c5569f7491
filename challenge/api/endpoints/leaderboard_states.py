"""Dated states of a leaderboard, for who cites them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from challenge.api.access import ANYONE, SUBMIT, SignedInRequest
from challenge.api.types import Slug
from challenge.models import LeaderboardState
from challenge.selectors import leaderboard_states as selector
from challenge.selectors import pages
from challenge.services.leaderboard import leaderboard_states as service

router = Router(tags=["phases"])

STATES = "/challenges/{slug}/phases/{phase}/leaderboard/states"
Stamp = Annotated[
    str, Field(pattern=r"^[0-9]{8}T[0-9]{6}Z$", examples=["20261130T120000Z"], description="UTC")
]


class StateOut(Schema):
    """A state that was kept; `stamp` names it in addresses."""

    stamp: str
    kept_at: datetime
    sha256: str


class States(Schema):
    """The latest states of a phase's leaderboard; empty while it is hidden."""

    items: list[StateOut]


class StateDocument(StateOut):
    """A leaderboard as everybody saw it at a moment.

    `sha256` is that of the canonical JSON of `state` (sorted keys, no spaces, UTF-8) with the
    SHA-256 of each line's in place of the line. Lines of who was disqualified or deleted their
    account since are withheld: they have `rank` and `sha256` alone.
    """

    state: dict[str, Any]


@router.get(STATES, response=States, auth=ANYONE)
def list_states(request: HttpRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """The states of a leaderboard that were kept, the last first."""
    found = pages.phase_by_slug(slug, phase, user=request.user)
    return {"items": [_state_out(state) for state in selector.of_phase(found)]}


@router.post(STATES, response=StateOut, auth=SUBMIT)
def keep_state(request: SignedInRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """Keep what everybody sees of a leaderboard now; the last state, where it says the same."""
    found = pages.phase_by_slug(slug, phase, user=request.user)
    return _state_out(service.keep(phase=found, actor=request.user))


@router.get(f"{STATES}/{{stamp}}", response=StateDocument, auth=ANYONE)
def get_state(request: HttpRequest, slug: Slug, phase: Slug, stamp: Stamp) -> dict[str, Any]:
    """A leaderboard as everybody saw it at a moment."""
    found = pages.phase_by_slug(slug, phase, user=request.user)
    shown = selector.get(found, stamp)
    return _state_out(shown.state) | {"state": shown.document}


def _state_out(state: LeaderboardState) -> dict[str, Any]:
    return {
        "stamp": selector.stamp_of(state.kept_at),
        "kept_at": state.kept_at,
        "sha256": state.digest,
    }
