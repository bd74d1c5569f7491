"""People, challenges and scores for the tests of the site, made through its own services."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from challenge.models import (
    Challenge,
    ChallengeRole,
    Entry,
    GroundTruth,
    Membership,
    Phase,
    Score,
    Submission,
    TaskSpec,
    Team,
    User,
)
from challenge.rules.roles import Role
from challenge.rules.rounding import Steps
from challenge.selectors import roles
from challenge.services.challenges import phases
from challenge.services.storage import archives
from challenge.services.storage.archives import StoredArchive
from challenge.services.submissions import evaluations, submissions
from challenge.services.submissions.submissions import MethodFacts
from challenge.services.teams import teams
from scoring.engine.metrics.card import ScoreCard
from scoring.engine.task.examples import abc_spec

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
# Those of labels with a hundred million pixels of each class.
STEPS = Steps(0.001, 0.005, 0.001, {0: 0.005, 1: 0.005})
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
numbers = itertools.count(1)


def make_user(name: str = "", **fields: Any) -> User:
    """A person with a confirmed look and the password "secret"."""
    name = name or f"person{next(numbers)}"
    return User.objects.create_user(name, f"{name}@example.org", "secret", **fields)


def make_challenge(slug: str = "abc", **fields: Any) -> Challenge:
    """A published challenge with a title in both languages."""
    fields = {"title": {"en": slug.upper(), "fr": slug.upper()}, "is_published": True} | fields
    return Challenge.objects.create(slug=slug, **fields)


def make_phase(
    challenge: Challenge | None = None, slug: str = "test", *, truth: bool = True, **fields: Any
) -> Phase:
    """A published phase open from the day before NOON for a month, with task and truth.

    Without a grace: it is settled by its close and the last verdict.
    """
    challenge = challenge or make_challenge()
    fields = {
        "name": {"en": slug, "fr": slug},
        "is_published": True,
        "opens_at": NOON - timedelta(days=1),
        "closes_at": NOON + timedelta(days=30),
        "grace_minutes": 0,
    } | fields
    fields.setdefault("task_spec", make_task(challenge))
    if truth:
        fields.setdefault("ground_truth", make_truth(challenge, slug))
        fields.setdefault("miou_step", STEPS.miou)
    return Phase.objects.create(challenge=challenge, slug=slug, **fields)


def change_phase(
    phase: Phase, actor: User, changes: dict[str, Any], *, now: datetime | None = None
) -> list[str]:
    """Change a phase, its consequences confirmed."""
    asked = phases.preview(phase=phase, actor=actor, changes=changes, now=now)
    return phases.change(
        phase=phase, actor=actor, changes=changes, confirmed=asked.confirmation, now=now
    )


def make_task(challenge: Challenge, **changes: Any) -> TaskSpec:
    """A task of two scored classes and "other"."""
    spec = abc_spec(**changes)
    known = TaskSpec.objects.filter(challenge=challenge, digest=spec.digest).first()
    return known or TaskSpec.objects.create(
        challenge=challenge,
        version=challenge.task_specs.count() + 1,
        digest=spec.digest,
        data=spec.to_json(),
    )


def make_truth(challenge: Challenge, name: str = "test") -> GroundTruth:
    """A further version of labels that nobody can open."""
    version = GroundTruth.objects.filter(challenge=challenge, name=name).count() + 1
    return GroundTruth.objects.create(
        challenge=challenge,
        name=name,
        version=version,
        digest=hashlib.sha256(f"{challenge.slug}{name}{version}".encode()).hexdigest(),
        store_name=f"{challenge.slug}-{name}-{version}.truth",
        patch_count=4,
        steps=STEPS.to_json(),
        rounding_key="07" * 32,
        patches=[[f"p{i}", "D001_2020", f"Z{i}_UU"] for i in range(4)],
    )


def make_team(
    challenge: Challenge, name: str = "", *, members: Sequence[User] = (), **fields: Any
) -> Team:
    """A team whose first member is captain; all registered and approved."""
    people = list(members) or [make_user()]
    for person in people:
        teams.register(
            user=person, challenge=challenge, accept_terms_version=challenge.terms_version
        )
    Membership.objects.filter(challenge=challenge, user__in=people).delete()
    Team.objects.filter(challenge=challenge, memberships__isnull=True, entries=None).delete()
    team = Team.objects.create(challenge=challenge, name=name or f"Team {next(numbers)}", **fields)
    for position, person in enumerate(people):
        role = Membership.Role.MEMBER if position else Membership.Role.CAPTAIN
        Membership.objects.create(team=team, user=person, challenge=challenge, role=role)
    return team


def make_organiser(
    challenge: Challenge, user: User | None = None, role: Role = Role.OWNER, **fields: Any
) -> User:
    """A person with a role in a challenge, given before anybody looks."""
    user = user or make_user()
    ChallengeRole.objects.create(challenge=challenge, user=user, role=role.value, **fields)
    roles.forget(user)
    return user


def register(user: User, challenge: Challenge | None = None) -> User:
    """Register a person for a challenge (a new one by default), with a team of one."""
    challenge = challenge or make_challenge(f"of-{user.username}")
    version = challenge.terms_version
    teams.register(user=user, challenge=challenge, accept_terms_version=version)
    return user


def captain_of(team: Team) -> User:
    return team.memberships.get(role=Membership.Role.CAPTAIN).user


def make_archive(content: bytes = b"not a zip", name: str = "preds.zip") -> StoredArchive:
    """Bytes in storage."""
    return archives.store(io.BytesIO(content), original_name=name, limit_bytes=1 << 30)


def bare_archive() -> StoredArchive:
    """The record of an archive that is not in storage, for tests that never open it."""
    return StoredArchive(f"archives/{next(numbers)}.zip", "0" * 64, 1000, "preds.zip")


def submit(
    team: Team, phase: Phase, *, at: datetime = NOON, method: str = "U-Net", **more: Any
) -> Submission:
    """Submit as the team's captain, through the service."""
    return submissions.submit(
        user=captain_of(team),
        phase=phase,
        archive=more.pop("archive", None) or bare_archive(),
        method=MethodFacts(method),
        now=at,
        **more,
    )


def make_card(miou: float | None = 0.5, **changes: Any) -> ScoreCard:
    """A score card of the "abc" task with the figures the site reads; counts are made up."""
    spec = abc_spec()
    card = {
        "spec": spec.id,
        "spec_digest": spec.digest,
        "engine_version": "1.0",
        "truth_digest": "d" * 64,
        "content_digest": hashlib.sha256(str(miou).encode()).hexdigest(),
        "patches": 4,
        "pixels": 48,
        "miou": miou,
        "overall_accuracy": 0.712345678,
        "mean_f1": 0.612345678,
        "classes": [
            {
                "id": one.id,
                "key": one.key,
                "name": one.name["en"],
                "iou": miou,
                "precision": 0.712345678,
                "recall": 0.812345678,
                "f1": 0.612345678,
                "truth_pixels": 1234567,
                "predicted_pixels": 16,
                "scored": one.scored,
            }
            for one in spec.classes
        ],
        "confusion": [[1234567, 2, 1], [0, 12, 4], [0, 0, 0]],
        "domains": {
            "D001_2020": {
                "patches": 4,
                "pixels": 48,
                "miou": miou,
                "ious": [miou, miou, None],
                "confusion": [[1234567, 2, 1], [0, 12, 4], [0, 0, 0]],
            }
        },
        "zones": {},
        "intervals": {
            "miou": None if miou is None else [max(0.0, miou - 0.012345), miou + 0.012345],
            "classes": [None, None, None],
        },
        "predicted_frequencies": [0.5, 0.3, 0.2],
        "seconds": 1.23456,
        "notes": [],
    }
    return cast("ScoreCard", card | changes)


def give_score(
    submission: Submission, miou: float | None = 0.5, *, at: datetime | None = None, **changes: Any
) -> Score:
    """Score a waiting submission as a worker would, ahead of the others in the queue."""
    at = at or submission.created_at + timedelta(minutes=1)
    submission.evaluations.filter(state="queued").update(queued_at=LONG_AGO)
    claim = evaluations.claim(worker="test", now=at)
    assert claim is not None
    assert claim.submission_id == submission.pk
    return evaluations.complete_scored(
        claim.evaluation_id, attempt=claim.attempt, card=make_card(miou, **changes), now=at
    )


def make_entry(team: Team, phase: Phase) -> Entry:
    return teams.ensure_entry(team=team, phase=phase)
