"""What a team's page shows to whom: the one place that asks for the team's choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Membership, Phase, Team, User
from challenge.rules import disclosure
from challenge.rules.disclosure import Viewer
from challenge.selectors import (
    pages,
    people,
    phase_disclosure,
    rank_history,
    scores,
    teams,
)
from challenge.selectors.leaderboard import Row
from challenge.selectors.rank_history import TeamRanks
from challenge.selectors.roles import Person
from challenge.selectors.teams import Member


@dataclass(frozen=True)
class Shown:
    """What of a team's page somebody sees. Members and organisers see everything."""

    members: bool
    methods: bool
    ranks: bool
    history: bool


@dataclass(frozen=True)
class Step:
    """A scored submission: when, its value as it may leave, and what the team says of its method.

    ``best`` is the team's best until then. Without the team's permission the facts of the method
    are empty.
    """

    at: datetime
    number: int
    miou: float | None
    best: float | None
    rises: bool = False
    method: str = ""
    description: str = ""
    external_data: str = ""
    code_url: str = ""
    paper_url: str = ""


@dataclass(frozen=True)
class Standing:
    """A team in a phase. ``steps`` are its scores over time, ``methods`` those that rose.

    ``embeddable``: strangers see its row of the leaderboard.
    """

    phase: Phase
    row: Row | None = None
    steps: list[Step] = field(default_factory=list)
    methods: list[Step] = field(default_factory=list)
    history: list[Step] = field(default_factory=list)
    ranks: TeamRanks | None = None
    embeddable: bool = False


@dataclass(frozen=True)
class TeamPage:
    """A team as somebody sees it."""

    team: Team
    shown: Shown
    is_own: bool
    members: list[Member]
    standings: list[Standing]

    @property
    def hides(self) -> bool:
        """Whether others see less than everything."""
        team = self.team
        return not (
            team.shows_members and team.shows_methods and team.shows_ranks and team.shows_history
        )


@dataclass(frozen=True)
class PersonPage:
    """A person with their teams; ``is_public`` false: nobody else sees it."""

    person: User
    is_public: bool
    pages: list[TeamPage]


def shown_to(user: Person, team: Team) -> Shown:
    """Return what of a team's page a person sees (two queries at most)."""
    if people.is_organiser(user, team.challenge) or is_member(user, team):
        return Shown(members=True, methods=True, ranks=True, history=True)
    return Shown(team.shows_members, team.shows_methods, team.shows_ranks, team.shows_history)


def is_member(user: Person, team: Team) -> bool:
    """Say whether a person is in a team (one query at most)."""
    return people.team_of(user, team.challenge) == team


def of_team(
    team: Team, *, phases: Sequence[Phase], user: Person, now: datetime | None = None
) -> TeamPage:
    """Return a team's page as a person may see it: under each phase's disclosure and its choices.

    ``phases`` are those that the person may know of. At most twelve queries a phase.
    """
    now = now or timezone.now()
    shown = shown_to(user, team)
    entered = set(team.entries.values_list("phase", flat=True))
    standings = [
        standing(team, phase=phase, shown=shown, user=user, now=now)
        for phase in phases
        if phase.pk in entered
    ]
    return TeamPage(
        team=team,
        shown=shown,
        is_own=is_member(user, team),
        members=teams.members(team) if shown.members else [],
        standings=[one for one in standings if one.row or one.steps or one.history or one.methods],
    )


def standing(team: Team, *, phase: Phase, shown: Shown, user: Person, now: datetime) -> Standing:
    """Return a team in one phase."""
    row = teams.leaderboard_row(team, phase=phase, user=user, now=now)
    told = progress(team, phase=phase, user=user, everything=shown.history, now=now)
    anyone = AnonymousUser()
    moved = None
    if shown.ranks and row is not None:
        moved = rank_history.of_team(team.pk, phase=phase, user=user, now=now)
    return Standing(
        phase=phase,
        row=row,
        steps=[_without_facts(step) for step in told] if shown.ranks else [],
        methods=_methods(told) if shown.methods else [],
        history=_history(told, shown=shown),
        ranks=moved,
        embeddable=row is not None
        and teams.leaderboard_row(team, phase=phase, user=anyone, now=now) is not None,
    )


def progress(
    team: Team,
    *,
    phase: Phase,
    user: Person = None,
    everything: bool = False,
    now: datetime | None = None,
) -> list[Step]:
    """Return a team's scores in a phase over time, where the viewer may see its leaderboard.

    Members see their own under every visibility but organisers'; others see a team's rises alone,
    as the leaderboard showed them, or ``everything``, where the team wants it. At most four
    queries.
    """
    now = now or timezone.now()
    viewer = people.viewer_of_phase(user, phase)
    mine = is_member(user, team)
    as_whom = Viewer.OWNER if mine else viewer
    if not phase_disclosure.score_visible(phase, viewer=as_whom, now=now):
        return []
    policy = phase_disclosure.policy_for(phase, viewer=viewer, now=now)
    steps: list[Step] = []
    best: float | None = None
    rows = (
        scores.counting(phase)
        .filter(evaluation__submission__entry__team=team)
        .order_by("evaluation__submission__number", "-evaluation__revision")
        .distinct("evaluation__submission__number")
        .select_related("evaluation__submission")
        .only("miou", "rounded_miou", *(f"evaluation__submission__{name}" for name in FACTS))
    )
    for score in rows:
        submission = score.evaluation.submission
        at = submission.created_at
        if phase_disclosure.is_after_freeze(phase, at) and not (
            as_whom is Viewer.ORGANISER
            or (mine and phase_disclosure.score_visible(phase, viewer=as_whom, submitted_at=at))
        ):
            continue
        miou = disclosure.disclose_miou(score.miou, score.rounded_miou, policy=policy)
        rises = miou is not None and (best is None or miou > best)
        best = miou if rises else best
        if not (rises or everything or mine or viewer is Viewer.ORGANISER):
            continue
        steps.append(
            Step(
                at=at,
                number=submission.number,
                miou=miou,
                best=best,
                rises=rises,
                method=submission.method_name,
                description=submission.method_description,
                external_data=submission.external_data,
                code_url=submission.code_url,
                paper_url=submission.paper_url,
            )
        )
    return steps


FACTS = (
    "number", "created_at", "method_name", "method_description", "external_data", "code_url",
    "paper_url",
)  # fmt: skip


# A page of a person with more teams would cost readers and the database too much.
TEAMS_SHOWN = 20


def of_person(pk: int, *, user: Person, now: datetime | None = None) -> PersonPage:
    """Return a person with the teams that show their members, in published challenges.

    Raises NotFound where the person shows no page, for everybody but themself: the same answer as
    for nobody.
    """
    person = User.objects.filter(pk=pk, is_active=True).first()
    is_self = person is not None and user is not None and user.pk == person.pk
    if person is None or not (person.shows_page or is_self):
        raise refuse("not-found")
    memberships = (
        Membership.objects.filter(
            user=person, challenge__is_published=True, team__shows_members=True
        )
        .select_related("team__challenge")
        .order_by("challenge__sort_order", "challenge__slug")[:TEAMS_SHOWN]
    )
    anyone = AnonymousUser()
    found = [
        of_team(one.team, phases=_public_phases(one.team), user=anyone, now=now)
        for one in memberships
    ]
    return PersonPage(person, person.shows_page, found)


def _public_phases(team: Team) -> list[Phase]:
    phases = list(pages.visible_phases(team.challenge, organiser=False))
    for phase in phases:
        phase.challenge = team.challenge
    return phases


def _history(steps: Sequence[Step], *, shown: Shown) -> list[Step]:
    if not shown.history:
        return []
    return [
        step if shown.methods and step.rises else _without_facts(step) for step in reversed(steps)
    ]


def _without_facts(step: Step) -> Step:
    return Step(step.at, step.number, step.miou, step.best, step.rises)


def _methods(steps: Sequence[Step]) -> list[Step]:
    """Return the steps that rose, the last first, each method once."""
    seen: set[tuple[str, ...]] = set()
    found = []
    for step in reversed([one for one in steps if one.rises]):
        facts = (step.method, step.description, step.code_url, step.paper_url)
        if facts not in seen:
            seen.add(facts)
            found.append(step)
    return found
