"""A challenge's teams as its organisers see them on the desk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, Exists, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from challenge.errors import refuse
from challenge.models import (
    Challenge,
    Grant,
    Membership,
    RankLine,
    Registration,
    Submission,
    Team,
    TeamDisqualification,
)
from challenge.rules.disclosure import Viewer
from challenge.selectors import disqualifications, grants, submissions
from challenge.selectors.roles import Person

PAGE_ROWS = 50
# A team's submissions on its own page; the newest ones.
SUBMISSIONS_SHOWN = 200


@dataclass(frozen=True)
class SubmissionLine:
    """A submission of the team: its state, and its mIoU as organisers may see it (0..1)."""

    submission: Submission
    state: str
    miou: float | None


@dataclass(frozen=True)
class TeamDesk:
    """What the desk shows of one team.

    ``members`` have a ``registration_state``. ``stopped_by`` keeps it from competing, be it of
    another team in which a member was before (None: it competes).
    """

    team: Team
    members: list[Any]
    lines: list[SubmissionLine]
    more: int
    ranks: list[RankLine]
    stopped_by: TeamDisqualification | None
    history: list[TeamDisqualification]
    grants: list[Grant]

    @property
    def is_disqualified(self) -> bool:
        return any(one.lifted_at is None for one in self.history)


def of_challenge(challenge: Challenge) -> QuerySet[Team]:
    """Return the teams that take part, neither merged into another nor the platform's own."""
    return Team.objects.filter(challenge=challenge, merged_into=None, is_platform=False)


def rows(challenge: Challenge, *, search: str = "", only: str = "") -> QuerySet[Team]:
    """Return teams annotated for lists: members and submissions counted, ``is_disqualified``.

    ``search`` is a part of the team's, a member's or the affiliation's name, ``only``
    "disqualified" or "submitted"; any other value shows all.
    """
    members = Membership.objects.filter(team=OuterRef("pk")).order_by().values("team")
    sent = Submission.objects.filter(entry__team=OuterRef("pk")).order_by().values("entry__team")
    found = of_challenge(challenge).annotate(
        member_count=_count(members),
        submission_count=_count(sent),
        is_disqualified=Exists(disqualifications.in_force().filter(team=OuterRef("pk"))),
    )
    if search:
        by_member = Membership.objects.filter(team=OuterRef("pk"), user__username__icontains=search)
        found = found.filter(
            Q(name__icontains=search) | Q(affiliation__icontains=search) | Q(Exists(by_member))
        )
    if only == "disqualified":
        found = found.filter(is_disqualified=True)
    elif only == "submitted":
        found = found.filter(submission_count__gt=0)
    return found


def page(
    challenge: Challenge, *, search: str = "", only: str = "", number: str | int = 1
) -> Page[Any]:
    """Return a page of :func:`rows` by name (two queries)."""
    found = rows(challenge, search=search, only=only)
    return Paginator(found.order_by("name", "pk"), PAGE_ROWS).get_page(number)


def get(challenge: Challenge, team_id: int) -> Team:
    """Return a team of a challenge for the desk. Raises NotFound."""
    found = of_challenge(challenge).select_related("challenge").filter(pk=team_id).first()
    if found is None:
        raise refuse("not-found")
    return found


def desk(team: Team, *, user: Person) -> TeamDesk:
    """Return what the desk shows of a team (eight queries)."""
    registrations = Registration.objects.filter(challenge=team.challenge_id, user=OuterRef("user"))
    members = team.memberships.select_related("user").annotate(
        registration_state=Subquery(registrations.values("state")[:1])
    )
    all_sent = submissions.of_challenge(team.challenge, user=user).filter(entry__team=team)
    sent = list(all_sent[: SUBMISSIONS_SHOWN + 1])
    more = max(0, all_sent.count() - SUBMISSIONS_SHOWN) if len(sent) > SUBMISSIONS_SHOWN else 0
    history = TeamDisqualification.objects.filter(team=team)
    return TeamDesk(
        team=team,
        members=list(members.order_by("joined_at")),
        lines=[_line(submission) for submission in sent[:SUBMISSIONS_SHOWN]],
        more=more,
        ranks=list(
            RankLine.objects.filter(entry__team=team, submission__is_baseline=False)
            .select_related("phase")
            .defer("phase__public_patches")
            .order_by("phase__sort_order", "phase")
        ),
        stopped_by=disqualifications.of_team(team),
        grants=grants.of_team(team.pk),
        history=list(history.select_related("disqualified_by", "lifted_by")),
    )


def has_submitted(team: Team) -> bool:
    """Say whether a team handed anything in that may stand on a leaderboard (one query)."""
    return disqualifications.standing(Submission.objects.filter(entry__team=team)).exists()


def _line(submission: Submission) -> SubmissionLine:
    evaluation = submissions.current(submission)
    return SubmissionLine(
        submission=submission,
        state=evaluation.state if evaluation else "",
        miou=submissions.shown_miou(submission, viewer=Viewer.ORGANISER),
    )


def _count(rows: QuerySet[Any]) -> Coalesce:
    """Return the number of rows of a grouped subquery, 0 where there are none."""
    return Coalesce(
        Subquery(rows.annotate(rows=Count("pk")).values("rows"), output_field=IntegerField()), 0
    )
