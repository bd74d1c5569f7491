"""Submissions as their teams and the organisers see them; strangers see none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, Func, JSONField, OuterRef, Prefetch, QuerySet, TextField, Value
from django.db.models.functions import Cast
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Challenge, Evaluation, Membership, Phase, Score, Submission
from challenge.rules import disclosure
from challenge.rules.disclosure import Terms, Viewer
from challenge.rules.lifecycle import OPEN_STATES, State
from challenge.selectors import leaderboard, people
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


def visible_to(user: Person) -> QuerySet[Submission]:
    """Return the submissions of a person's own teams, newest first, with team, phase, challenge."""
    if user is None or not user.is_authenticated:
        return Submission.objects.none()
    mine = Membership.objects.filter(team=OuterRef("entry__team"), user=user.pk)
    return _full(Submission.objects.filter(Exists(mine))).order_by("-created_at", "-pk")


def siblings(submission: Submission, *, user: Person) -> list[Submission]:
    """Return the other submissions of a loaded one's entry, newest first, to members of its team.

    Two queries; entry, phase and challenge are the loaded ones.
    """
    if user is None or not user.is_authenticated:
        return []
    mine = Membership.objects.filter(team=submission.entry.team_id, user=user.pk)
    found = list(
        Submission.objects.filter(Exists(mine), entry=submission.entry_id)
        .exclude(pk=submission.pk)
        .order_by("-created_at", "-pk")
        .prefetch_related(_evaluations())
    )
    for one in found:
        one.entry = submission.entry
    return found


def of_challenge(challenge: Challenge, *, user: Person) -> QuerySet[Submission]:
    """Return all submissions of a challenge, for its organisers. Raises NotFound for others."""
    if not people.is_organiser(user, challenge):
        raise refuse("not-found")
    return _full(Submission.objects.filter(entry__phase__challenge=challenge)).order_by(
        "-created_at", "-pk"
    )


def mine(user: Person, *, phase: Phase | None = None) -> QuerySet[Submission]:
    """Return a person's teams' submissions, of one phase where asked; three queries when read."""
    found = visible_to(user)
    return found if phase is None else found.filter(entry__phase=phase)


def get(submission_id: UUID | str, *, user: Person) -> tuple[Submission, Viewer]:
    """Return a submission and the role in which a person may see it.

    Raises NotFound for strangers and for what does not exist alike. At most five queries.
    """
    try:
        wanted = UUID(str(submission_id))
    except ValueError:
        raise refuse("not-found") from None
    submission = _full(Submission.objects.filter(pk=wanted)).first()
    viewer = people.viewer_of_submission(user, submission) if submission else None
    if submission is None or viewer is None:
        raise refuse("not-found")
    return submission, viewer


def detail(submission_id: UUID | str, *, user: Person, now: datetime | None = None) -> Detail:
    """Return a submission's page for a person, its figures as they may leave.

    Raises NotFound as :func:`get` does. At most six queries.
    """
    submission, viewer = get(submission_id, user=user)
    return detail_of(submission, viewer=viewer, now=now)


def detail_of(submission: Submission, *, viewer: Viewer, now: datetime | None = None) -> Detail:
    """Return a loaded submission as ``viewer`` may see it (no query beyond the card's)."""
    now = now or timezone.now()
    phase = submission.entry.phase
    terms = leaderboard.terms_for(phase, viewer=viewer, now=now)
    evaluation = current(submission)
    scored = evaluation is not None and evaluation.state == State.SCORED
    visible = score_visible(phase, viewer=viewer, now=now)
    card = None
    if evaluation is not None and scored and visible:
        # the zones' matrices, nine tenths of a card, are never disclosed: they stay behind
        stored = Score.objects.values_list(Without("card", "zones"), flat=True)
        card = disclosure.disclose(stored.get(evaluation=evaluation), terms=terms)
    return Detail(
        submission=submission,
        evaluation=evaluation,
        viewer=viewer,
        terms=terms,
        card=card,
        score_hidden=scored and not visible,
    )


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
        ).distinct()
    )


def _full(found: QuerySet[Submission]) -> QuerySet[Submission]:
    return (
        found.select_related(
            "entry__team", "entry__phase__challenge", "entry__phase__task_spec", "submitted_by"
        )
        .defer("entry__phase__public_patches")
        .prefetch_related(_evaluations())
    )


def _evaluations() -> Prefetch[str, QuerySet[Evaluation], str]:
    evaluations = Evaluation.objects.select_related("score").defer("score__card", "problems")
    return Prefetch("evaluations", queryset=evaluations)
