"""Submissions as their teams and the organisers see them; strangers see none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import (
    Exists,
    Func,
    JSONField,
    OuterRef,
    Prefetch,
    QuerySet,
    TextField,
    Value,
    prefetch_related_objects,
)
from django.db.models.functions import Cast
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import (
    Challenge,
    Evaluation,
    Membership,
    Phase,
    Score,
    Submission,
    Upload,
    User,
)
from challenge.rules import disclosure
from challenge.rules.disclosure import DisclosedCard, DisclosurePolicy, Viewer
from challenge.rules.lifecycle import OPEN_STATES, State
from challenge.rules.roles import Act
from challenge.selectors import people, phase_disclosure, roles
from challenge.selectors.roles import Person


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
    policy: DisclosurePolicy
    card: DisclosedCard | None
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
    other_card: DisclosedCard | None


def visible_to(user: Person) -> QuerySet[Submission]:
    """Return the submissions of a person's own teams, newest first, with team, phase, challenge."""
    if user is None or not user.is_authenticated:
        return Submission.objects.none()
    mine = Membership.objects.filter(team=OuterRef("entry__team"), user=user.pk)
    submissions = _full(Submission.objects.filter(Exists(mine))).prefetch_related(_evaluations())
    return submissions.order_by("-created_at", "-pk")


def of_challenge(challenge: Challenge, *, user: Person) -> QuerySet[Submission]:
    """Return all submissions of a challenge, for its organisers. Raises NotFound for others."""
    if not people.is_organiser(user, challenge):
        raise refuse("not-found")
    submissions = _full(Submission.objects.filter(entry__phase__challenge=challenge))
    return submissions.prefetch_related(_evaluations()).order_by("-created_at", "-pk")


def mine(user: Person, *, phase: Phase | None = None) -> QuerySet[Submission]:
    """Return a person's teams' submissions, of one phase where asked; three queries when read."""
    submissions = visible_to(user)
    return submissions if phase is None else submissions.filter(entry__phase=phase)


def get(submission_id: UUID | str, *, user: Person) -> tuple[Submission, Viewer]:
    """Return a submission and the role in which a person may see it.

    Raises NotFound for strangers and for what does not exist alike. Two queries.
    """
    submission, viewer = _find(submission_id, user=user)
    prefetch_related_objects([submission], _evaluations())
    return submission, viewer


def with_archive(submission_id: UUID | str, *, user: Person) -> Submission:
    """Return a submission whose archive a person may have: its team, or ``Act.ARCHIVES``.

    Raises NotFound as :func:`get` does, and what `roles.require` raises. Two queries.
    """
    submission, _viewer = get(submission_id, user=user)
    if not people.is_of_team(user, submission):
        roles.require(user, Act.ARCHIVES, submission.entry.phase.challenge)
    return submission


def detail(submission_id: UUID | str, *, user: Person, now: datetime | None = None) -> Detail:
    """Return a submission's page for a person, its values as they may leave.

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
    their values are for members of the team alone. Raises NotFound as :func:`get` does. At most
    four queries, whatever their number.
    """
    now = now or timezone.now()
    submission, viewer = _find(submission_id, user=user)
    entry = submission.entry
    others: list[Submission] = []
    if people.team_id_in(user, entry.phase) == entry.team_id:
        others = list(
            Submission.objects.filter(entry=entry)
            .exclude(pk=submission.pk)
            .order_by("-created_at", "-pk")
        )
    prefetch_related_objects([submission, *others], _evaluations())
    for candidate in others:
        candidate.entry = entry
    others = [
        candidate
        for candidate in others
        if shown_miou(candidate, viewer=viewer, now=now) is not None
    ]
    named = next((candidate for candidate in others if str(candidate.pk) == wanted), None)
    other = next(iter(others), None) if wanted is None else named
    shown = [candidate for candidate in (submission, other) if candidate is not None]
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
    if not isinstance(user, User):
        raise refuse("not-found")
    submission = (
        _full(Submission.objects.filter(pk=wanted))
        .annotate(**people.facts_about(user, challenge="entry__phase__challenge"))
        .first()
    )
    if submission is None:
        raise refuse("not-found")
    people.store_facts(user, challenge=submission.entry.phase.challenge, annotated=submission)
    viewer = people.viewer_of_submission(user, submission)
    if viewer is None:
        raise refuse("not-found")
    return submission, viewer


def _detail(
    submission: Submission, *, viewer: Viewer, cards: Mapping[UUID, DisclosedCard], now: datetime
) -> Detail:
    phase = submission.entry.phase
    evaluation = current(submission)
    scored = evaluation is not None and evaluation.state == State.SCORED
    return Detail(
        submission=submission,
        evaluation=evaluation,
        viewer=viewer,
        policy=phase_disclosure.policy_for(phase, viewer=viewer, now=now),
        card=cards.get(submission.pk),
        score_hidden=scored and not score_visible(submission, viewer=viewer, now=now),
    )


def _cards(
    submissions: Sequence[Submission], *, viewer: Viewer, now: datetime
) -> dict[UUID, DisclosedCard]:
    """Return the disclosed score cards of submissions of one phase that have one to show."""
    phase = submissions[0].entry.phase
    wanted = {
        evaluation.pk: submission.pk
        for submission in submissions
        if (evaluation := current(submission)) is not None
        and evaluation.state == State.SCORED
        and score_visible(submission, viewer=viewer, now=now)
    }
    if not wanted:
        return {}
    policy = phase_disclosure.policy_for(phase, viewer=viewer, now=now)
    # the zones' matrices, nine tenths of a card, are never disclosed: they stay behind
    stored = Score.objects.filter(evaluation__in=wanted).values_list(
        "evaluation", Without("card", "zones"), "rounded", "counted_zones"
    )
    cards = {}
    for pk, card, rounded, counted_zones in stored:
        cards[wanted[pk]] = disclosure.disclose(card, rounded, policy=policy)
        cards[wanted[pk]]["counted_zones"] = counted_zones
    return cards


def score_visible(submission: Submission, *, viewer: Viewer, now: datetime | None = None) -> bool:
    """Say whether who may see a submission may see its score.

    No query, but for a board that appears at the settlement of a phase that is closed (one).
    """
    return phase_disclosure.score_visible(
        submission.entry.phase, viewer=viewer, submitted_at=submission.created_at, now=now
    )


def may_choose(shown: Detail, *, now: datetime | None = None) -> bool:
    """Say whether the viewer may choose a submission for the final ranking, or drop the choice.

    One query at most, of a closed phase.
    """
    phase = shown.submission.entry.phase
    if shown.viewer is not Viewer.OWNER or phase.finals_limit is None:
        return False
    able = shown.is_moving or shown.state == State.SCORED or shown.submission.is_final
    return able and not phase_disclosure.is_settled(phase, now=now)


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
    if not score_visible(submission, viewer=viewer, now=now):
        return None
    policy = phase_disclosure.policy_for(phase, viewer=viewer, now=now)
    return disclosure.disclose_miou(
        evaluation.score.miou, evaluation.score.rounded_miou, policy=policy
    )


def current(submission: Submission) -> Evaluation | None:
    """Return the evaluation that counts now, out of prefetched ones (no query).

    Of those under the phase's present truth and task the latest scored one (that counts the zones
    which the phase's scores count), else the latest; while a re-score under new ones is not there
    yet, the latest of all.
    """
    evaluations = sorted(submission.evaluations.all(), key=lambda evaluation: evaluation.pk)
    if not evaluations:
        return None
    phase = submission.entry.phase
    present = [
        evaluation
        for evaluation in evaluations
        if evaluation.ground_truth_id == phase.ground_truth_id
        and evaluation.task_spec_id == phase.task_spec_id
    ]
    of_these = present or evaluations
    scored = [evaluation for evaluation in of_these if evaluation.state == State.SCORED]
    counted = [
        evaluation for evaluation in scored if evaluation.score.counted_zones == phase.counted_zones
    ]
    return (counted or scored or of_these)[-1]


def release(submission: Submission) -> None:
    """Let go of a submission's prefetched evaluations.

    They refer to their submission and their score, which refer to them: only the garbage collector
    frees such cycles, and in a stream of thousands of rows it comes late.
    """
    for evaluation in submission.evaluations.all():
        evaluation._state.fields_cache.clear()
    submission._prefetched_objects_cache.clear()  # type: ignore[attr-defined]


def unsubmitted_uploads(user: User, phase: Phase) -> QuerySet[Upload]:
    """Return a person's complete uploads for a phase that no submission has yet, newest first."""
    return Upload.objects.filter(
        user=user,
        metadata__phase=str(phase),
        completed_at__isnull=False,
        expires_at__gt=timezone.now(),
        submission__isnull=True,
    )


def _full(submissions: QuerySet[Submission]) -> QuerySet[Submission]:
    return submissions.select_related(
        "entry__team", "entry__phase__challenge", "entry__phase__task_spec", "submitted_by"
    ).defer("entry__phase__public_patches")


def _evaluations() -> Prefetch[str, QuerySet[Evaluation], str]:
    evaluations = Evaluation.objects.select_related("score").defer("score__card", "problems")
    return Prefetch("evaluations", queryset=evaluations)
