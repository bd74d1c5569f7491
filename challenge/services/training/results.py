"""What a finished training run leaves on the platform: a baseline's submission."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import (
    Challenge,
    Membership,
    Registration,
    Submission,
    Team,
    TrainingRun,
    User,
)
from challenge.rules import names
from challenge.services.storage import archives
from challenge.services.submissions import submissions
from challenge.services.submissions.submissions import NAME_CHARACTERS, MethodFacts
from challenge.services.training import training_runs

ACCOUNT = "baselines"
EMAIL = "baselines@localhost.invalid"
TEAM_NAMES = ("Baselines", "Reference baselines", "Baselines of the platform")


@dataclass(frozen=True)
class Target:
    """What a run's predictions must be to be submitted: the phase's task (JSON) and patch ids."""

    task: dict[str, Any]
    ids: list[str]


def target(run_id: UUID) -> Target | None:
    """Return where a run's predictions go, or None where they are not submitted.

    Raises Refusal ``phase-not-ready`` when the phase has no labels or no task (yet).
    """
    run = TrainingRun.objects.select_related("phase__task_spec", "phase__ground_truth").get(
        pk=run_id
    )
    if run.phase is None:
        return None
    task, truth = run.phase.task_spec, run.phase.ground_truth
    if task is None or truth is None:
        raise refuse("phase-not-ready")
    return Target(task=task.data, ids=[patch[0] for patch in truth.patches])


def submit(
    run_id: UUID,
    *,
    attempt: int,
    archive_path: Path,
    result: dict[str, Any],
    hardware: str = "",
    now: datetime | None = None,
) -> Submission:
    """Submit a run's predictions as a baseline and record that it succeeded, both or neither.

    The team is the platform's own, created when it is needed. Runs of one group share a method's
    name, so that the board shows them as one line. Raises Conflict ``late-worker`` when the
    attempt is over, and what ``submissions.submit`` raises.
    """
    now = now or timezone.now()
    run = TrainingRun.objects.select_related("phase__challenge").get(pk=run_id)
    if run.phase is None:
        raise refuse("not-found")
    stored = archives.store_file(archive_path, original_name=f"{run.recipe}-seed-{run.seed}.zip")
    try:
        with transaction.atomic():
            submission = submissions.submit(
                user=platform_user(run.phase.challenge),
                phase=run.phase,
                archive=stored,
                method=MethodFacts(
                    method_name=(run.group or result["title"])[:NAME_CHARACTERS],
                    method_description=_description(run, result),
                    hardware=hardware[:NAME_CHARACTERS],
                ),
                is_baseline=True,
                now=now,
            )
            training_runs.complete(
                run_id, attempt=attempt, result=result, submission=submission, now=now
            )
    except BaseException:
        archives.delete(stored.name)
        raise
    return submission


def platform_user(challenge: Challenge) -> User:
    """Return who submits for the platform: the captain of its team in the challenge.

    Where there is no such team it is created by an account that nobody can log in with.
    """
    captain = User.objects.filter(
        memberships__team__challenge=challenge,
        memberships__team__is_platform=True,
        memberships__role=Membership.Role.CAPTAIN,
    ).first()
    if captain is None:
        captain = platform_account()
        team = _create_platform_team(challenge)
        Membership.objects.create(
            team=team, user=captain, challenge=challenge, role=Membership.Role.CAPTAIN
        )
    Registration.objects.update_or_create(
        challenge=challenge,
        user=captain,
        defaults={
            "state": Registration.State.APPROVED,
            "terms_version": challenge.terms_version,
            "accepted_at": timezone.now(),
        },
    )
    return captain


def platform_account() -> User:
    """Return the account that submits for the platform; nobody can log in with it."""
    user = User.objects.filter(email=EMAIL).first()
    if user is None:
        taken = User.objects.filter(
            Q(username__iexact=ACCOUNT) | Q(name_key=names.look_alike_key(ACCOUNT))
        ).exists()
        name = f"{ACCOUNT}-{secrets.token_hex(4)}" if taken else ACCOUNT
        user = User(username=name, email=EMAIL, mail_on_announcement=False)
    # Whoever signs up with this address could never confirm it, and has no password now.
    user.set_unusable_password()
    user.save()
    return user


def _create_platform_team(challenge: Challenge) -> Team:
    taken = {
        names.look_alike_key(name)
        for name in Team.objects.filter(challenge=challenge).values_list("name", flat=True)
    }
    name = next((name for name in TEAM_NAMES if names.look_alike_key(name) not in taken), None)
    if name is None:
        raise refuse("team-name-taken", name=TEAM_NAMES[0])
    return Team.objects.create(challenge=challenge, name=name, is_platform=True)


def _description(run: TrainingRun, result: dict[str, Any]) -> str:
    lines = [f"{result['title']}: recipe {run.recipe}, seed {run.seed}."]
    if run.overrides:
        changes = ", ".join(f"{key} = {value}" for key, value in run.overrides.items())
        lines.append(f"Changed: {changes}.")
    lines.append(
        f"{result['epochs']} epochs, the best is number {result['best_epoch']} with "
        f"{result['best_miou']:.4f} on validation."
    )
    return "\n".join(lines)
