"""Submissions as their teams and the organisers see them; strangers see none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import (
    Exists,
    Func,
    JSONField,
    OuterRef,
    Prefetch,
    QuerySet,
    Subquery,
    TextField,
    Value,
    prefetch_related_objects,
)
from django.db.models.functions import Cast
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Challenge, Evaluation, Membership, Phase, Score, Submission
from challenge.rules import disclosure
from challenge.rules.disclosure import Terms, Viewer
from challenge.rules.lifecycle import OPEN_STATES, State
from challenge.selectors import leaderboard, pages, people
from challenge.selectors.people import Person


class Without(Func):
    """A jsonb column without one of its keys, left out by the database."""

    template = "%(expressions)s"
    arg_joiner = " - "
    output_field = JSONField()

    def __init__(self, column: str, key: str) -> None:
        super().__init__(column, Cast(Value(key), TextField()))


@dataclass(frozen=True)
class Detail:
    """A submission as one viewer may see it.

    ``evaluation`` is the one that counts now: the latest under the phase's present truth and
    task, else the latest of all. ``card`` is the disclosed part of its score card (None: no
    score, or not for this viewer); ``state`` repeats the evaluation's.
    """

    submission: Submission
    evaluation: Evaluation | None
    viewer: Viewer
    terms: Terms
    card: dict[str, Any] | None
    score_hidden: bool

    @property
    def state(self) -> str:
        return self.evaluation.state if self.evaluation else ""

    @property
    def is_moving(self) -> bool:
        return self.evaluation is not None and State(self.evaluation.state) in OPEN_STATES


@dataclass(frozen=True)
class Compared:
    """A submission's page beside the team's other scored submissions, the newest first.

    ``other`` is the one it is compared with, ``other_card`` its disclosed score card.
    """

    detail: Detail
    others: list[Submission]
    other: Submission | None
    other_card: dict[str, Any] | None


def visible_to(user: Person) -> QuerySet[Submission]:
    """Return the submissions of a person's own teams, newest first, with team, phase, challenge."""
    if user is None or not user.is_authenticated:
        return Submission.objects.none()
    mine = Membership.objects.filter(team=OuterRef("entry__team"), user=user.pk)
    found = _full(Submission.objects.filter(Exists(mine))).prefetch_related(_evaluations())
    return found.order_by("-created_at", "-pk")


def of_challenge(challenge: Challenge, *, user: Person) -> QuerySet[Submission]:
    """Return all submissions of a challenge, for its organisers. Raises NotFound for others."""
    if not people.is_organiser(user, challenge):
        raise refuse("not-found")
    found = _full(Submission.objects.filter(entry__phase__challenge=challenge))
    return found.prefetch_related(_evaluations()).order_by("-created_at", "-pk")


def mine(user: Person, *, phase: Phase | None = None) -> QuerySet[Submission]:
    """Return a person's teams' submissions, of one phase where asked; three queries when read."""
    found = visible_to(user)
    return found if phase is None else found.filter(entry__phase=phase)


def get(submission_id: UUID | str, *, user: Person) -> tuple[Submission, Viewer]:
    """Return a submission and the role in which a person may see it.

    Raises NotFound for strangers and for what does not exist alike. Two queries.
    """
    submission, viewer = _find(submission_id, user=user)
    prefetch_related_objects([submission], _evaluations())
    return submission, viewer


def detail(submission_id: UUID | str, *, user: Person, now: datetime | None = None) -> Detail:
    """Return a submission's page for a person, its figures as they may leave.

    Raises NotFound as :func:`get` does. At most three queries.
    """
    submission, viewer = get(submission_id, user=user)
    return detail_of(submission, viewer=viewer, now=now)


def compared(
    submission_id: UUID | str,
    *,
    user: Person,
    wanted: str | None = None,
    now: datetime | None = None,
) -> Compared:
    """Return a submission's page with what its team's other scored submissions were.

    ``wanted`` names the one to compare with; None: the one before, anything else: none. Others and
    their figures are for members of the team alone. Raises NotFound as :func:`get` does. At most
    four queries, whatever their number.
    """
    now = now or timezone.now()
    submission, viewer = _find(submission_id, user=user)
    entry = submission.entry
    others: list[Submission] = []
    if pages.my_team_id(entry.phase) == entry.team_id:
        others = list(
            Submission.objects.filter(entry=entry)
            .exclude(pk=submission.pk)
            .order_by("-created_at", "-pk")
        )
    prefetch_related_objects([submission, *others], _evaluations())
    for one in others:
        one.entry = entry
    others = [one for one in others if shown_miou(one, viewer=viewer, now=now) is not None]
    named = next((one for one in others if str(one.pk) == wanted), None)
    other = next(iter(others), None) if wanted is None else named
    shown = [one for one in (submission, other) if one is not None]
    cards = _cards(shown, viewer=viewer, now=now)
    return Compared(
        detail=_detail(submission, viewer=viewer, cards=cards, now=now),
        others=others,
        other=other,
        other_card=cards.get(other.pk) if other is not None else None,
    )


def detail_of(submission: Submission, *, viewer: Viewer, now: datetime | None = None) -> Detail:
    """Return a loaded submission as ``viewer`` may see it (no query beyond the card's)."""
    now = now or timezone.now()
    cards = _cards([submission], viewer=viewer, now=now)
    return _detail(submission, viewer=viewer, cards=cards, now=now)


def _find(submission_id: UUID | str, *, user: Person) -> tuple[Submission, Viewer]:
    """Return a submission without its evaluations, and who ``user`` is to it (one query)."""
    try:
        wanted = UUID(str(submission_id))
    except ValueError:
        raise refuse("not-found") from None
    if user is None or not user.is_authenticated:
        raise refuse("not-found")
    challenge = OuterRef("entry__phase__challenge")
    mine = Membership.objects.filter(challenge=challenge, user=user.pk)
    organised = Challenge.organisers.through.objects.filter(challenge=challenge, user=user.pk)
    submission = (
        _full(Submission.objects.filter(pk=wanted))
        .annotate(my_team_id=Subquery(mine.values("team")[:1]), is_organised=Exists(organised))
        .first()
    )
    if submission is None:
        raise refuse("not-found")
    pages.remember(
        submission.entry.phase,
        user=user,
        my_team_id=getattr(submission, "my_team_id", None),
        is_organised=getattr(submission, "is_organised", False),
    )
    viewer = people.viewer_of_submission(user, submission)
    if viewer is None:
        raise refuse("not-found")
    return submission, viewer


def _detail(
    submission: Submission, *, viewer: Viewer, cards: Mapping[UUID, dict[str, Any]], now: datetime
) -> Detail:
    phase = submission.entry.phase
    evaluation = current(submission)
    scored = evaluation is not None and evaluation.state == State.SCORED
    return Detail(
        submission=submission,
        evaluation=evaluation,
        viewer=viewer,
        terms=leaderboard.terms_for(phase, viewer=viewer, now=now),
        card=cards.get(submission.pk),
        score_hidden=scored and not score_visible(phase, viewer=viewer, now=now),
    )


def _cards(
    found: Sequence[Submission], *, viewer: Viewer, now: datetime
) -> dict[UUID, dict[str, Any]]:
    """Return the disclosed score cards of submissions of one phase that have one to show."""
    phase = found[0].entry.phase
    if not score_visible(phase, viewer=viewer, now=now):
        return {}
    wanted = {
        evaluation.pk: one.pk
        for one in found
        if (evaluation := current(one)) is not None and evaluation.state == State.SCORED
    }
    if not wanted:
        return {}
    terms = leaderboard.terms_for(phase, viewer=viewer, now=now)
    # the zones' matrices, nine tenths of a card, are never disclosed: they stay behind
    stored = Score.objects.filter(evaluation__in=wanted).values_list(
        "evaluation", Without("card", "zones")
    )
    return {wanted[pk]: disclosure.disclose(card, terms=terms) for pk, card in stored}


def score_visible(phase: Phase, *, viewer: Viewer, now: datetime | None = None) -> bool:
    """Say whether who may see a submission may see its score. No query."""
    return disclosure.score_visible(
        visibility=phase.visibility,
        viewer=viewer,
        opens_at=phase.opens_at,
        closes_at=phase.closes_at,
        now=now or timezone.now(),
    )


def shown_miou(
    submission: Submission, *, viewer: Viewer, now: datetime | None = None
) -> float | None:
    """Return a listed submission's mIoU as it may leave, None where there is none to show.

    No query for submissions that came from this module.
    """
    phase = submission.entry.phase
    evaluation = current(submission)
    if evaluation is None or evaluation.state != State.SCORED:
        return None
    if not score_visible(phase, viewer=viewer, now=now):
        return None
    terms = leaderboard.terms_for(phase, viewer=viewer, now=now)
    return disclosure.figure(evaluation.score.miou, terms=terms)


def current(submission: Submission) -> Evaluation | None:
    """Return the evaluation that counts now, out of prefetched ones (no query).

    Of those under the phase's present truth and task the latest scored one, else the latest; while
    a re-score under new ones is not there yet, the latest of all.
    """
    evaluations = sorted(submission.evaluations.all(), key=lambda one: one.pk)
    if not evaluations:
        return None
    phase = submission.entry.phase
    present = [
        one
        for one in evaluations
        if one.ground_truth_id == phase.ground_truth_id and one.task_spec_id == phase.task_spec_id
    ]
    of_these = present or evaluations
    scored = [one for one in of_these if one.state == State.SCORED]
    return scored[-1] if scored else of_these[-1]


def same_content(submission: Submission, *, user: Person) -> list[Submission]:
    """Return other teams' submissions with the very same pixels (organisers alone; two queries)."""
    challenge = submission.entry.phase.challenge
    if not people.is_organiser(user, challenge):
        raise refuse("not-found")
    digests = (
        Score.objects.filter(evaluation__submission=submission)
        .exclude(content_digest="")
        .values("content_digest")
    )
    return list(
        _full(
            Submission.objects.filter(
                evaluations__score__content_digest__in=digests,
                entry__phase__challenge=challenge,
            ).exclude(entry__team=submission.entry.team_id)
        )
        .prefetch_related(_evaluations())
        .distinct()
    )


def _full(found: QuerySet[Submission]) -> QuerySet[Submission]:
    return found.select_related(
        "entry__team", "entry__phase__challenge", "entry__phase__task_spec", "submitted_by"
    ).defer("entry__phase__public_patches")


def _evaluations() -> Prefetch[str, QuerySet[Evaluation], str]:
    evaluations = Evaluation.objects.select_related("score").defer("score__card", "problems")
    return Prefetch("evaluations", queryset=evaluations)
