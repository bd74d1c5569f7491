"""What the challenge pages show: the menu, the home page's lines, pages, news."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.db.models import Exists, OuterRef, Prefetch, QuerySet, Subquery
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import (
    Announcement,
    Challenge,
    Membership,
    Page,
    Phase,
    PublishedResult,
    RankLine,
    User,
)
from challenge.rules import disclosure
from challenge.rules.disclosure import Viewer
from challenge.rules.windows import Window, place
from challenge.selectors import leaderboard, people
from challenge.selectors.people import Person

MENU_KEPT_S = 10
TOP_LINES = 3


@dataclass(frozen=True)
class MenuLine:
    """A published challenge in the head of every page."""

    slug: str
    title: dict[str, str]


@dataclass(frozen=True)
class PhaseLine:
    """A phase and where it stands now."""

    phase: Phase
    window: Window

    @property
    def open(self) -> bool:
        return self.window is Window.OPEN

    @property
    def closed(self) -> bool:
        return self.window is Window.CLOSED

    @property
    def upcoming(self) -> bool:
        return self.window is Window.UPCOMING


@dataclass(frozen=True)
class TopLine:
    """A team among the first of a phase, its figure rounded as the phase's rules say."""

    name: str
    miou: float | None


@dataclass(frozen=True)
class HomeLine:
    """A challenge on the home page."""

    challenge: Challenge
    phases: list[PhaseLine]
    top: list[TopLine] = field(default_factory=list)
    top_phase: Phase | None = None

    @property
    def open(self) -> bool:
        return any(line.open for line in self.phases)


def menu() -> list[MenuLine]:
    """Return the published challenges for the head of the page (no query for ten seconds)."""
    lines: list[MenuLine] | None = cache.get("menu")
    if lines is None:
        rows = Challenge.objects.filter(is_published=True).values_list("slug", "title")
        lines = [MenuLine(slug, title) for slug, title in rows]
        cache.set("menu", lines, MENU_KEPT_S)
    return lines


def visible_phases(challenge: Challenge, *, organiser: bool) -> QuerySet[Phase]:
    """Return the phases that a viewer of the challenge may know of."""
    phases = challenge.phases.defer("public_patches")
    return phases if organiser else phases.filter(is_published=True)


def phase_lines(
    challenge: Challenge, *, user: Person, now: datetime | None = None
) -> list[PhaseLine]:
    """Return a challenge's phases in order with where they stand (two queries at most)."""
    now = now or timezone.now()
    phases = visible_phases(challenge, organiser=people.is_organiser(user, challenge))
    return [phase_line(phase, now) for phase in phases]


def challenge_by_slug(slug: str, *, user: Person) -> Challenge:
    """Return a challenge that ``user`` may see (two queries at most).

    Raises NotFound ``not-found`` for one that is missing or not published.
    """
    challenge = Challenge.objects.filter(slug=slug).first()
    if challenge is None or not (challenge.is_published or people.is_organiser(user, challenge)):
        raise refuse("not-found")
    return challenge


def phase_by_slug(challenge_slug: str, phase_slug: str, *, user: Person) -> Phase:
    """Return a phase with its challenge, its task and who ``user`` is to it (one query).

    :func:`my_team_id` then knows the viewer's team; whether the viewer is an organiser is
    remembered where ``people.is_organiser`` looks. Raises NotFound ``not-found`` for
    one that is missing, not published or of a hidden challenge.
    """
    found = (
        Phase.objects.select_related("challenge", "task_spec")
        .filter(challenge__slug=challenge_slug, slug=phase_slug)
        .defer("public_patches")  # thousands of names, which few pages ask for
    )
    known = user is not None and user.is_authenticated
    if known and user is not None:
        mine = Membership.objects.filter(challenge=OuterRef("challenge"), user=user.pk)
        organised = Challenge.organisers.through.objects.filter(
            challenge=OuterRef("challenge"), user=user.pk
        )
        found = found.annotate(
            my_team_id=Subquery(mine.values("team")[:1]), is_organised=Exists(organised)
        )
    phase = found.first()
    if phase is None:
        raise refuse("not-found")
    if known and user is not None:
        remember(
            phase,
            user=user,
            my_team_id=getattr(phase, "my_team_id", None),
            is_organised=getattr(phase, "is_organised", False),
        )
    if not (phase.is_published and phase.challenge.is_published) and not people.is_organiser(
        user, phase.challenge
    ):
        raise refuse("not-found")
    return phase


def remember(
    phase: Phase, *, user: User | AnonymousUser, my_team_id: int | None, is_organised: bool
) -> None:
    """Keep with a phase and a person what one query told of both, for this request."""
    phase.my_team_id = my_team_id  # type: ignore[attr-defined]
    user.__dict__.setdefault("_organises", {})[phase.challenge_id] = is_organised


def my_team_id(phase: Phase) -> int | None:
    """Return the viewer's team of a phase that was looked up for them. No query."""
    found: int | None = getattr(phase, "my_team_id", None)
    return found


def home(*, user: Person, now: datetime | None = None) -> list[HomeLine]:
    """Return the published challenges with their phases and leaders (two queries, one each)."""
    now = now or timezone.now()
    published = Phase.objects.filter(is_published=True).defer("public_patches")
    challenges = Challenge.objects.filter(is_published=True).prefetch_related(
        Prefetch("phases", queryset=published)
    )
    lines = []
    for challenge in challenges:
        phases = [phase_line(phase, now) for phase in challenge.phases.all()]
        top_phase = next(
            (line.phase for line in reversed(phases) if line.phase.ranks_version > 0), None
        )
        top = leaders(top_phase, user=user, now=now) if top_phase else []
        lines.append(HomeLine(challenge, phases, top, top_phase))
    return lines


def leaders(phase: Phase, *, user: Person, now: datetime) -> list[TopLine]:
    """Return the first teams of a phase, or none where its board is hidden (one query)."""
    if not leaderboard.is_visible(phase, viewer=Viewer.READER, now=now):
        return []
    terms = leaderboard.terms_for(phase, viewer=Viewer.READER, now=now)
    rows = (
        RankLine.objects.filter(phase=phase, rank__isnull=False)
        .select_related("entry__team")
        .order_by("rank", "pk")[:TOP_LINES]
    )
    return [TopLine(row.entry.team.name, disclosure.figure(row.miou, terms=terms)) for row in rows]


def tab_pages(challenge: Challenge, *, language: str) -> list[tuple[str, str]]:
    """Return (slug, title) of a challenge's pages, each in ``language`` or English.

    One query, then none for ten seconds.
    """
    key = f"tabs-{challenge.pk}-{language}"
    kept: list[tuple[str, str]] | None = cache.get(key)
    if kept is not None:
        return kept
    rows = Page.objects.filter(challenge=challenge, language__in={language, "en"}).values_list(
        "slug", "language", "title"
    )
    titles: dict[str, str] = {}
    for slug, page_language, title in rows:
        if slug not in titles or page_language == language:
            titles[slug] = title
    tabs = list(titles.items())
    cache.set(key, tabs, MENU_KEPT_S)
    return tabs


def phase_menu(challenge: Challenge) -> list[Phase]:
    """Return the published phases for a challenge's tabs (no query for ten seconds)."""
    key = f"phases-{challenge.pk}"
    kept: list[Phase] | None = cache.get(key)
    if kept is None:
        kept = list(challenge.phases.filter(is_published=True).defer("public_patches"))
        cache.set(key, kept, MENU_KEPT_S)
    return kept


def page(challenge: Challenge, *, slug: str, language: str) -> Page:
    """Return one page in ``language``, else in English (one query).

    Raises NotFound ``not-found``.
    """
    found = {
        page.language: page
        for page in Page.objects.filter(
            challenge=challenge, slug=slug, language__in={language, "en"}
        )
    }
    wanted = found.get(language) or found.get("en")
    if wanted is None:
        raise refuse("not-found")
    return wanted


def news(challenge: Challenge, *, now: datetime | None = None) -> QuerySet[Announcement]:
    """Return what was announced, the latest first (one query)."""
    return challenge.announcements.filter(published_at__lte=now or timezone.now())


def published_results(challenge: Challenge) -> QuerySet[PublishedResult]:
    """Return the podiums and baselines published elsewhere, best first (one query)."""
    return challenge.published_results.order_by("kind", "-miou", "sort_order")


def phase_line(phase: Phase, now: datetime) -> PhaseLine:
    """Return a phase with where it stands at ``now``. No query."""
    return PhaseLine(phase, place(now, opens_at=phase.opens_at, closes_at=phase.closes_at))
