"""A person's data: export as JSON, deletion that leaves the boards standing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from challenge.errors import Refusal, refuse
from challenge.models import (
    Challenge,
    Evaluation,
    Membership,
    Registration,
    Submission,
    Team,
    Upload,
    User,
)
from challenge.rules import disclosure
from challenge.rules.disclosure import Viewer
from challenge.rules.lifecycle import State
from challenge.selectors import leaderboard
from challenge.services import archives, audit, evaluations, ranks

PROFILE = ("username", "email", "first_name", "last_name", "affiliation", "language", "theme")


def export(*, user: User, now: datetime | None = None) -> dict[str, Any]:
    """Return all that is kept about a person, as plain values; figures as they may leave."""
    now = now or timezone.now()
    return {
        "exported_at": now.isoformat(),
        "profile": {name: getattr(user, name) for name in PROFILE}
        | {
            "timezone": user.timezone,
            "date_joined": user.date_joined.isoformat(),
            "last_login": user.last_login.isoformat() if user.last_login else None,
            "mail_on_result": user.mail_on_result,
            "mail_on_announcement": user.mail_on_announcement,
        },
        "registrations": [
            {
                "challenge": registration.challenge.slug,
                "state": registration.state,
                "terms_version": registration.terms_version,
                "accepted_at": registration.accepted_at.isoformat(),
            }
            for registration in Registration.objects.filter(user=user).select_related("challenge")
        ],
        "teams": [
            {
                "challenge": membership.challenge.slug,
                "team": membership.team.name,
                "role": membership.role,
                "joined_at": membership.joined_at.isoformat(),
            }
            for membership in Membership.objects.filter(user=user).select_related(
                "team", "challenge"
            )
        ],
        "tokens": [
            {
                "name": token.name,
                "prefix": token.prefix,
                "scopes": token.scopes,
                "created_at": token.created_at.isoformat(),
                "expires_at": token.expires_at.isoformat() if token.expires_at else None,
                "last_used_at": token.last_used_at.isoformat() if token.last_used_at else None,
            }
            for token in user.api_tokens.all()
        ],
        "uploads": [
            {
                "id": str(upload.pk),
                "original_name": upload.original_name,
                "length_bytes": upload.length_bytes,
                "created_at": upload.created_at.isoformat(),
                "sha256": upload.sha256,
            }
            for upload in Upload.objects.filter(user=user)
        ],
        "webhooks": [{"url": hook.url, "events": hook.events} for hook in user.webhooks.all()],
        "submissions": [_submission(one, now=now) for one in _submissions(user)],
    }


def delete(*, user: User, actor: User | None = None, now: datetime | None = None) -> None:
    """Delete a person for good. Scores stay on the boards, under a team without a person.

    Waiting submissions of teams left empty are cancelled; their teams lose their names, teams
    that never submitted are deleted. Raises Conflict ``account-leads-team`` while the person is
    captain of others, ``account-last-organiser`` while alone in organising.
    """
    now = now or timezone.now()
    with transaction.atomic():
        led = Team.objects.filter(
            memberships__user=user, memberships__role=Membership.Role.CAPTAIN
        ).order_by("name")
        others = [team.name for team in led if team.memberships.count() > 1]
        if others:
            raise refuse("account-leads-team", teams=", ".join(others))
        alone = [
            challenge.slug
            for challenge in Challenge.objects.filter(organisers=user)
            if challenge.organisers.count() == 1
        ]
        if alone:
            raise refuse("account-last-organiser", challenges=", ".join(alone))
        for team in Team.objects.select_for_update().filter(memberships__user=user):
            if team.memberships.count() == 1:
                _orphan(team, actor=actor or user, now=now)
        unused = list(
            Upload.objects.filter(user=user, submission__isnull=True).values_list(
                "archive", flat=True
            )
        )
        audit.record("account.delete", actor=None, target=user.pk, now=now)
        user.delete()
        transaction.on_commit(lambda: _delete_archives(unused))


def _orphan(team: Team, *, actor: User, now: datetime) -> None:
    submissions = Submission.objects.filter(entry__team=team)
    if not submissions.exists():
        team.delete()
        return
    waiting = submissions.filter(evaluations__state=State.QUEUED.value).distinct()
    for submission in waiting:
        try:
            evaluations.cancel(submission=submission, actor=actor, live_only=True, now=now)
        except Refusal as refusal:
            # A worker took it between the two queries: then it is scored like any other.
            if refusal.code != "illegal-move":
                raise
    team.name = f"former team {team.pk}"
    team.affiliation = ""
    team.save(update_fields=["name", "affiliation"])
    ranks.mark_renamed(team=team)


def _delete_archives(names: list[str]) -> None:
    for name in names:
        archives.delete(name)


def _submissions(user: User) -> list[Submission]:
    return list(
        Submission.objects.filter(submitted_by=user)
        .select_related("entry__phase__challenge", "entry__team")
        .prefetch_related("evaluations__score")
        .order_by("created_at")
    )


def _submission(submission: Submission, *, now: datetime) -> dict[str, Any]:
    phase = submission.entry.phase
    window: dict[str, Any] = {"opens_at": phase.opens_at, "closes_at": phase.closes_at, "now": now}
    terms = leaderboard.terms_for(phase, viewer=Viewer.OWNER, now=now)
    visible = disclosure.score_visible(visibility=phase.visibility, viewer=Viewer.OWNER, **window)

    def miou(evaluation: Evaluation) -> float | None:
        if evaluation.state != State.SCORED or not visible:
            return None
        return disclosure.figure(evaluation.score.miou, terms=terms)

    return {
        "id": str(submission.pk),
        "phase": str(phase),
        "team": submission.entry.team.name,
        "number": submission.number,
        "created_at": submission.created_at.isoformat(),
        "original_name": submission.original_name,
        "archive_sha256": submission.archive_sha256,
        "archive_bytes": submission.archive_bytes,
        "method_name": submission.method_name,
        "method_description": submission.method_description,
        "external_data": submission.external_data,
        "code_url": submission.code_url,
        "paper_url": submission.paper_url,
        "evaluations": [
            {"state": evaluation.state, "miou": miou(evaluation)}
            for evaluation in submission.evaluations.all()
        ],
    }
