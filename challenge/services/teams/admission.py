"""The admission list of a challenge, and whether registrations need approval at all."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import AdmissionEntry, Challenge, User
from challenge.rules import admission
from challenge.rules.roles import Act
from challenge.selectors import registrations, roles
from challenge.services import audit
from challenge.services.teams import teams


def require_approval(
    *, challenge: Challenge, actor: User, required: bool, now: datetime | None = None
) -> None:
    """Say whether registrations wait for an organiser (``Act.PEOPLE``).

    Those that wait already go on waiting.
    """
    roles.require(actor, Act.PEOPLE, challenge)
    with transaction.atomic():
        locked = Challenge.objects.select_for_update().get(pk=challenge.pk)
        before = locked.approval_required
        if before == required:
            return
        locked.approval_required = required
        locked.save(update_fields=["approval_required", "updated_at"])
        audit.record(
            "registration.mode",
            actor=actor,
            challenge=challenge,
            now=now,
            before={"approval_required": before},
            after={"approval_required": required},
        )
    challenge.approval_required = required


def add(
    *, challenge: Challenge, actor: User, text: str, now: datetime | None = None
) -> tuple[int, int]:
    """Add the entries of a text to the list and approve who waits and is on it (``Act.PEOPLE``).

    Returns how many entries are new and how many registrations were approved; each of these people
    is mailed. Nothing is written where a line is wrong. Raises what `roles.require` raises,
    Refusal ``admission-line-invalid`` with the first such line, ``admission-empty``,
    ``admission-too-long``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.PEOPLE, challenge)
    listed = admission.read(text)
    if listed.bad:
        first = listed.bad[0]
        raise refuse(
            "admission-line-invalid",
            line=first.number,
            found=first.found,
            bad=len(listed.bad),
        )
    if listed.too_many:
        raise refuse("admission-too-long", limit=admission.LINES_LIMIT)
    if not listed.entries:
        raise refuse("admission-empty")
    with transaction.atomic():
        # A registration that is written meanwhile waits for this lock, then finds the list.
        Challenge.objects.select_for_update().get(pk=challenge.pk)
        keys = {admission.key(entry): entry for entry in listed.entries}
        old = AdmissionEntry.objects.filter(challenge=challenge, key__in=keys)
        known = set(old.values_list("key", flat=True))
        new = [entry for key, entry in keys.items() if key not in known]
        AdmissionEntry.objects.bulk_create(
            AdmissionEntry(
                challenge=challenge,
                value=entry,
                key=admission.key(entry),
                added_by=actor,
                added_at=now,
            )
            for entry in new
        )
        approved = registrations.waiting_for(challenge, set(keys))
        audit.record(
            "admission.add",
            actor=actor,
            challenge=challenge,
            now=now,
            added=len(new),
            known=len(known),
            approved=len(approved),
        )
        for registration in approved:
            teams.decide_registration(
                registration=registration, actor=actor, approved=True, now=now
            )
    return len(new), len(approved)


def remove(
    *, challenge: Challenge, actor: User, entry_id: int, now: datetime | None = None
) -> AdmissionEntry:
    """Take an entry off the list (``Act.PEOPLE``); who was approved by it stays approved."""
    roles.require(actor, Act.PEOPLE, challenge)
    with transaction.atomic():
        rows = AdmissionEntry.objects.select_for_update(of=("self",))
        found = rows.filter(challenge=challenge, pk=entry_id).first()
        if found is None:
            raise refuse("not-found")
        found.delete()
        audit.record(
            "admission.remove", actor=actor, challenge=challenge, now=now, removed=[found.value]
        )
    return found
