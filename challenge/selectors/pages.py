"""What the challenge pages show: the menu, the home page's summaries, pages, news."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Prefetch, Q, QuerySet
from django.utils import timezone
from pydantic import TypeAdapter

from challenge.errors import refuse
from challenge.models import (
    Announcement,
    Challenge,
    Page,
    Phase,
    PublishedResult,
    User,
)
from challenge.rules.disclosure import Viewer
from challenge.rules.windows import Window, window_at
from challenge.selectors import languages, leaderboard, people, phase_disclosure
from challenge.selectors.cached import cached
from challenge.selectors.leaderboard import Row
from challenge.selectors.roles import Person

MENU_KEPT_S = 10
TOP_ROWS = 3


@dataclass(frozen=True)
class MenuItem:
    """A published challenge in the head of every page."""

    slug: str
    title: dict[str, str]


MENU_ITEMS = TypeAdapter(list[MenuItem])
TABS = TypeAdapter(list[tuple[str, str]])
PHASE_ROWS = TypeAdapter(list[dict[str, Any]])


@dataclass(frozen=True)
class PhaseStatus:
    """A phase and where it stands now; ``open`` where it takes submissions."""

    phase: Phase
    window: Window

    @property
    def open(self) -> bool:
        return self.window is Window.OPEN and not self.waits_for_labels

    @property
    def waits_for_labels(self) -> bool:
        """Whether its window is open but nothing is installed to score against."""
        return self.window is Window.OPEN and None in (
            self.phase.ground_truth_id,
            self.phase.task_spec_id,
        )

    @property
    def closed(self) -> bool:
        return self.window is Window.CLOSED

    @property
    def upcoming(self) -> bool:
        return self.window is Window.UPCOMING


@dataclass(frozen=True)
class ChallengeSummary:
    """A challenge on the home page."""

    challenge: Challenge
    phases: list[PhaseStatus]
    top: list[Row] = field(default_factory=list)
    top_phase: Phase | None = None

    @property
    def open(self) -> bool:
        return any(line.open for line in self.phases)

    @property
    def opens_later(self) -> bool:
        """Whether none is open, but one will be."""
        later = any(line.upcoming or line.waits_for_labels for line in self.phases)
        return later and not self.open


def menu() -> list[MenuItem]:
    """Return the published challenges for the head of the page (no query for ten seconds)."""

    def read() -> list[MenuItem]:
        rows = Challenge.objects.filter(is_published=True).values_list("slug", "title")
        return [MenuItem(slug, title) for slug, title in rows]

    return cached("menu-items", read, kind=MENU_ITEMS, kept_s=MENU_KEPT_S)


def visible_phases(challenge: Challenge, *, organiser: bool) -> QuerySet[Phase]:
    """Return the phases that a viewer of the challenge may know of."""
    phases = challenge.phases.defer("public_patches")
    return phases if organiser else phases.filter(is_published=True)


def phase_statuses(
    challenge: Challenge, *, user: Person, now: datetime | None = None
) -> list[PhaseStatus]:
    """Return a challenge's phases in order with where they stand (two queries at most)."""
    now = now or timezone.now()
    phases = visible_phases(challenge, organiser=people.is_organiser(user, challenge))
    return [phase_status(phase, now) for phase in phases]


def challenge_by_slug(slug: str, *, user: Person) -> Challenge:
    """Return a challenge that ``user`` may see (two queries at most).

    Raises NotFound ``not-found`` for one that is missing or not published.
    """
    challenge = Challenge.objects.filter(slug=slug).first()
    if challenge is None or not (challenge.is_published or people.is_organiser(user, challenge)):
        raise refuse("not-found")
    return challenge


def phase_by_slug(challenge_slug: str, phase_slug: str, *, user: Person) -> Phase:
    """Return a phase with its challenge and its task (one query).

    The same query tells who ``user`` is to the challenge, so that ``people`` need not ask again.
    Raises NotFound ``not-found`` for one that is missing, not published or of a hidden challenge.
    """
    phases = (
        Phase.objects.select_related("challenge", "task_spec")
        .filter(challenge__slug=challenge_slug, slug=phase_slug)
        .defer("public_patches")  # thousands of names, which few pages ask for
    )
    if isinstance(user, User):
        phases = phases.annotate(**people.facts_about(user, challenge="challenge"))
    phase = phases.first()
    if phase is None:
        raise refuse("not-found")
    if isinstance(user, User):
        people.store_facts(user, challenge=phase.challenge, annotated=phase)
    if not (phase.is_published and phase.challenge.is_published) and not people.is_organiser(
        user, phase.challenge
    ):
        raise refuse("not-found")
    return phase


def home(*, now: datetime | None = None) -> list[ChallengeSummary]:
    """Return the published challenges with their phases and leaders (two queries, one each)."""
    now = now or timezone.now()
    published = Phase.objects.filter(is_published=True).defer("public_patches")
    challenges = Challenge.objects.filter(is_published=True).prefetch_related(
        Prefetch("phases", queryset=published)
    )
    summaries = []
    for challenge in challenges:
        phases = [phase_status(phase, now) for phase in challenge.phases.all()]
        top_phase = next(
            (line.phase for line in reversed(phases) if line.phase.ranks_version > 0), None
        )
        top = leaders(top_phase, now=now) if top_phase else []
        summaries.append(ChallengeSummary(challenge, phases, top, top_phase))
    return summaries


def leaders(phase: Phase, *, now: datetime) -> list[Row]:
    """Return the first teams of a phase, or none where its leaderboard is hidden (one query)."""
    if not phase_disclosure.leaderboard_visible(phase, viewer=Viewer.READER, now=now):
        return []
    policy = phase_disclosure.policy_for(phase, viewer=Viewer.READER, now=now)
    rows = leaderboard.rows_where(phase, Q(rank__lte=TOP_ROWS), policy=policy, keys=())
    return rows[:TOP_ROWS]


def tab_pages(challenge: Challenge, *, language: str) -> list[tuple[str, str]]:
    """Return (slug, title) of a challenge's pages, each in ``language``, else English, else any.

    One query, then none for ten seconds.
    """

    def read() -> list[tuple[str, str]]:
        rows = Page.objects.filter(challenge=challenge).values_list("slug", "language", "title")
        titles: dict[str, dict[str, str]] = {}
        for slug, page_language, title in rows:
            titles.setdefault(slug, {})[page_language] = title
        return [(slug, languages.text_in(by, language)) for slug, by in titles.items()]

    key = f"tabs-{challenge.pk}-{language}"
    return cached(key, read, kind=TABS, kept_s=MENU_KEPT_S)


def phase_menu(challenge: Challenge) -> list[Phase]:
    """Return the published phases for a challenge's tabs (no query for ten seconds)."""
    columns = {
        column.attname: column
        for column in Phase._meta.concrete_fields
        if column.attname != "public_patches"  # thousands of names; read if somebody asks
    }
    shape = zlib.crc32(" ".join(columns).encode())

    def read() -> list[dict[str, Any]]:
        return list(challenge.phases.filter(is_published=True).values(*columns))

    rows = cached(f"phases-{challenge.pk}-{shape}", read, kind=PHASE_ROWS, kept_s=MENU_KEPT_S)
    return [
        Phase.from_db(
            "default", columns, [column.to_python(row[name]) for name, column in columns.items()]
        )
        for row in rows
    ]


def page(challenge: Challenge, *, slug: str, language: str) -> Page:
    """Return one page in ``language``, else in English, else in any (one query).

    Raises NotFound ``not-found``.
    """
    by_language = {
        page.language: page for page in Page.objects.filter(challenge=challenge, slug=slug)
    }
    others = iter(by_language.values())
    wanted = by_language.get(language) or by_language.get("en") or next(others, None)
    if wanted is None:
        raise refuse("not-found")
    return wanted


def page_with_map(challenge: Challenge) -> str | None:
    """Return the address word of the page that shows the map of the domains (one query)."""
    showing = Page.objects.filter(challenge=challenge, markdown__contains="[[domains]]")
    return showing.order_by("sort_order").values_list("slug", flat=True).first()


def class_colors(challenge: Challenge) -> list[str]:
    """Return the colours of the classes of a challenge's last task, none before it (one query)."""
    tasks = challenge.task_specs.order_by("-version").values_list("data__classes", flat=True)
    return [one["color"] for one in tasks.first() or []]


def news(challenge: Challenge, *, now: datetime | None = None) -> QuerySet[Announcement]:
    """Return what was announced, the latest first (one query)."""
    return challenge.announcements.filter(published_at__lte=now or timezone.now())


def published_results(challenge: Challenge) -> QuerySet[PublishedResult]:
    """Return the podiums and baselines published elsewhere, best first (one query)."""
    return challenge.published_results.order_by("kind", "-miou", "sort_order")


def phase_status(phase: Phase, now: datetime) -> PhaseStatus:
    """Return a phase with where it stands at ``now``. No query."""
    return PhaseStatus(phase, window_at(now, opens_at=phase.opens_at, closes_at=phase.closes_at))
