"""A person's data: export as JSON, and deletion that keeps the leaderboards as they are."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from challenge.errors import Refusal, refuse
from challenge.models import (
    Evaluation,
    LabelJob,
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
from challenge.selectors import phase_disclosure, roles
from challenge.services import audit
from challenge.services.accounts import connections
from challenge.services.leaderboard import ranks
from challenge.services.storage import archives
from challenge.services.submissions import evaluations
from challenge.services.teams import mailboxes

PROFILE = ("username", "email", "first_name", "last_name", "affiliation", "language", "theme")


def export(*, user: User, now: datetime | None = None) -> dict[str, Any]:
    """Return all that is stored about a person, as plain values; scores as far as disclosed."""
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
            "mail_on_message": user.mail_on_message,
            "shows_page": user.shows_page,
        },
        "registrations": [
            {
                "challenge": registration.challenge.slug,
                "state": registration.state,
                "terms_version": registration.terms_version,
                "accepted_at": registration.accepted_at.isoformat(),
                "note": registration.note,
                "first_steps": {
                    name: moment.isoformat()
                    for name in ("ids_at", "kit_at", "check_at")
                    if (moment := getattr(registration, name)) is not None
                },
                "accepted_versions": {
                    one.version: one.accepted_at.isoformat()
                    for one in registration.acceptances.all()
                },
            }
            for registration in Registration.objects.filter(user=user)
            .select_related("challenge")
            .prefetch_related("acceptances")
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
        "provider_connections": connections.of_user(user),
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
        "mailboxes": [
            {
                "challenge": mailbox.challenge.slug,
                "keyed_hash": mailbox.digest,
                "kept": "until every phase of the challenge is closed, also after the account",
            }
            for mailbox in user.mailboxes.select_related("challenge")
        ],
        "webhooks": [{"url": hook.url, "events": hook.events} for hook in user.webhooks.all()],
        "submissions": [
            _export_submission(submission, now=now) for submission in _submissions(user)
        ],
    }


def delete(*, user: User, actor: User | None = None, now: datetime | None = None) -> None:
    """Delete a person for good. Scores stay on the leaderboards, under a team without members.

    Of teams without other members queued submissions are cancelled and the names replaced; those
    that never submitted are deleted. What they submitted goes on counting for the person's mailbox
    until the phases are closed (:mod:`challenge.services.teams.mailboxes`). Raises Conflict
    ``account-leads-team`` while the person is captain of other members, ``account-last-organiser``
    while the only owner of a challenge.
    """
    now = now or timezone.now()
    with transaction.atomic():
        teams_led = Team.objects.filter(
            memberships__user=user, memberships__role=Membership.Role.CAPTAIN
        ).order_by("name")
        led_names = [team.name for team in teams_led if team.memberships.count() > 1]
        if led_names:
            raise refuse("account-leads-team", teams=", ".join(led_names))
        owned_alone = roles.owned_alone(user)
        if owned_alone:
            slugs = ", ".join(challenge.slug for challenge in owned_alone)
            raise refuse("account-last-organiser", challenges=slugs)
        mailboxes.unbind(user=user, now=now)
        for team in Team.objects.select_for_update().filter(memberships__user=user):
            if team.memberships.count() == 1:
                _delete_or_anonymise(team, actor=actor or user, now=now)
        unsubmitted_archives = list(
            Upload.objects.filter(user=user, submission__isnull=True).values_list(
                "archive", flat=True
            )
        )
        LabelJob.objects.filter(created_by=user).update(uploader="", original_name="")
        audit.record("account.delete", actor=None, target=user.pk, now=now)
        user.delete()
        transaction.on_commit(lambda: _delete_archives(unsubmitted_archives))


def _delete_or_anonymise(team: Team, *, actor: User, now: datetime) -> None:
    submissions = Submission.objects.filter(entry__team=team)
    if not submissions.exists():
        team.delete()
        return
    queued = submissions.filter(evaluations__state=State.QUEUED.value).distinct()
    for submission in queued:
        try:
            evaluations.cancel(submission=submission, actor=actor, live_only=True, now=now)
        except Refusal as refusal:
            # A worker claimed it between the two queries: then it is scored like any other.
            if refusal.code != "illegal-move":
                raise
    team.name = f"former team {team.pk}"
    team.affiliation = ""
    team.save(update_fields=["name", "name_key", "affiliation"])
    ranks.invalidate_leaderboards(team=team)


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


def _export_submission(submission: Submission, *, now: datetime) -> dict[str, Any]:
    phase = submission.entry.phase
    policy = phase_disclosure.policy_for(phase, viewer=Viewer.OWNER, now=now)
    visible = phase_disclosure.score_visible(
        phase, viewer=Viewer.OWNER, submitted_at=submission.created_at, now=now
    )

    def miou(evaluation: Evaluation) -> float | None:
        if evaluation.state != State.SCORED or not visible:
            return None
        return disclosure.disclose_miou(
            evaluation.score.miou, evaluation.score.rounded_miou, policy=policy
        )

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
