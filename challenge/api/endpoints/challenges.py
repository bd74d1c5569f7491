"""Challenges: what is to be done, in which phases, with which data."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema

from challenge.api.access import ANYONE, READ, SignedInRequest
from challenge.api.types import Slug, Translated, Window
from challenge.errors import refuse
from challenge.models import Challenge, Phase
from challenge.rules.disclosure import NEVER
from challenge.rules.windows import window_at
from challenge.selectors import pages, phase_disclosure
from challenge.selectors import people as people_selectors
from challenge.selectors.roles import Person

router = Router(tags=["challenges"])


class PhaseOut(Schema):
    """A window in which teams submit; null limits are no limits.

    Values are rounded until ``rounded_until``, when every phase on the same labels is closed
    (null: not foreseen), and until ``revealed_at`` where its labels have private zones:
    ``counted_zones`` is then ``public``, and ``private`` afterwards.
    """

    phase: str
    slug: str
    name: Translated
    summary: Translated
    window: Window
    opens_at: datetime
    closes_at: datetime | None
    daily_limit: int | None
    total_limit: int | None
    invalid_daily_limit: int | None
    finals_limit: int | None
    archive_limit_bytes: int
    visibility: str
    detail: str
    precision: str
    labels_public: bool
    rounded_until: datetime | None
    archives_kept_days: int
    inference_ratio_limit: float | None
    takes_submissions: bool
    counted_zones: str = "all"
    revealed_at: datetime | None = None
    grace_minutes: int
    settled_at: datetime | None
    frozen_at: datetime | None


class ClassOut(Schema):
    """A class of the predictions."""

    id: int
    key: str
    name: Translated
    color: str
    scored: bool


class ChallengeLine(Schema):
    """A challenge in the list."""

    slug: str
    title: Translated
    tagline: Translated
    summary: Translated
    phases: list[PhaseOut]


class ChallengeOut(ChallengeLine):
    """A challenge whole."""

    time_zone: str
    terms_version: str
    approval_required: bool
    team_size_limit: int | None
    team_merge_until: datetime | None
    classes: list[ClassOut]
    facts: dict[str, Any]


class Challenges(Schema):
    """All published challenges."""

    items: list[ChallengeLine]


class Download(Schema):
    """A file of the data set; it lies elsewhere."""

    file: str
    size: str
    content: Translated
    url: str


class Downloads(Schema):
    """The data of a challenge."""

    items: list[Download]


class News(Schema):
    """An announcement; ``body`` is Markdown."""

    title: Translated
    body: Translated
    published_at: datetime


class Announcements(Schema):
    """Announcements, the latest first."""

    items: list[News]


def phase_out(phase: Phase, *, now: datetime | None = None) -> PhaseOut:
    """A phase as the API shows it. Needs ``phase.challenge``."""
    now = now or timezone.now()
    until = phase_disclosure.rounded_until(phase)
    return PhaseOut(
        phase=str(phase),
        slug=phase.slug,
        name=phase.name,
        summary=phase.summary,
        window=window_at(now, opens_at=phase.opens_at, closes_at=phase.closes_at).value,
        opens_at=phase.opens_at,
        closes_at=phase.closes_at,
        daily_limit=phase.daily_limit,
        total_limit=phase.total_limit,
        invalid_daily_limit=phase.invalid_daily_limit,
        finals_limit=phase.finals_limit,
        archive_limit_bytes=phase.archive_limit_bytes,
        visibility=phase.visibility,
        detail=phase.detail,
        precision=phase.precision,
        labels_public=phase.labels_public,
        rounded_until=None if until == NEVER else until,
        archives_kept_days=phase.archives_kept_days,
        inference_ratio_limit=phase.inference_ratio_limit,
        takes_submissions=phase.ground_truth_id is not None and phase.task_spec_id is not None,
        counted_zones=phase.counted_zones,
        revealed_at=phase.revealed_at,
        grace_minutes=phase.grace_minutes,
        settled_at=phase.settled_at if phase.settlement_recorded else None,
        frozen_at=phase.frozen_at,
    )


def _line(challenge: Challenge, *, user: Person) -> dict[str, Any]:
    lines = pages.phase_statuses(challenge, user=user)
    for line in lines:
        line.phase.challenge = challenge
    return {
        "slug": challenge.slug,
        "title": challenge.title,
        "tagline": challenge.tagline,
        "summary": challenge.summary,
        "phases": [phase_out(line.phase) for line in lines],
    }


@router.get("/challenges", response=Challenges, auth=ANYONE)
def list_challenges(request: HttpRequest) -> dict[str, Any]:
    """The published challenges with their phases."""
    challenges = Challenge.objects.filter(is_published=True)
    return {"items": [_line(challenge, user=request.user) for challenge in challenges]}


@router.get("/challenges/{slug}", response=ChallengeOut, auth=ANYONE)
def get_challenge(request: HttpRequest, slug: Slug) -> dict[str, Any]:
    """One challenge: phases, classes, rules and facts."""
    challenge = pages.challenge_by_slug(slug, user=request.user)
    task = challenge.task_specs.first()
    facts = {key: value for key, value in challenge.facts.items() if key != "downloads"}
    return {
        **_line(challenge, user=request.user),
        "time_zone": challenge.time_zone,
        "terms_version": challenge.terms_version,
        "approval_required": challenge.approval_required,
        "team_size_limit": challenge.team_size_limit,
        "team_merge_until": challenge.team_merge_until,
        "classes": task.data.get("classes", []) if task else [],
        "facts": facts,
    }


@router.get("/challenges/{slug}/downloads", response=Downloads, auth=READ)
def list_downloads(request: SignedInRequest, slug: Slug) -> dict[str, Any]:
    """Where the data lies, for those who take part and for organisers."""
    user = request.user
    challenge = pages.challenge_by_slug(slug, user=user)
    is_organiser = people_selectors.is_organiser(user, challenge)
    if not is_organiser and not people_selectors.is_registered(user, challenge):
        raise refuse("not-registered", challenge=challenge.slug)
    return {"items": challenge.facts.get("downloads", [])}


@router.get("/challenges/{slug}/announcements", response=Announcements, auth=ANYONE)
def list_announcements(request: HttpRequest, slug: Slug) -> dict[str, Any]:
    """What the organisers told everyone, the latest first."""
    challenge = pages.challenge_by_slug(slug, user=request.user)
    return {"items": list(pages.news(challenge)[:100])}
