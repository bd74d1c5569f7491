"""Which teams and which submissions are disqualified: the one place that answers it."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet

from challenge.models import Submission, Team, TeamDisqualification


def in_force() -> QuerySet[TeamDisqualification]:
    """Return the disqualifications of teams that are not lifted."""
    return TeamDisqualification.objects.filter(lifted_at__isnull=True)


def of_team(team: Team) -> TeamDisqualification | None:
    """Return what keeps a team from competing, None where nothing does (one query).

    Its own disqualification, or that of a team in which one of its members was under an account
    that is deleted since: the mailbox is the same.
    """
    own = Q(team=team)
    former = Q(team__former_memberships__mailbox__user__memberships__team=team)
    found = in_force().filter(own | former).select_related("team", "disqualified_by")
    return found.order_by("pk").first()


def submissions_that_stand() -> Q:
    """Return the condition under which a submission is not disqualified, nor its team."""
    team = in_force().filter(team=OuterRef("entry__team"))
    return Q(disqualified_at__isnull=True) & ~Q(Exists(team))


def standing(submissions: QuerySet[Submission]) -> QuerySet[Submission]:
    """Return those of some submissions that are not disqualified, nor their teams."""
    return submissions.filter(submissions_that_stand())
