"""Documents of winners: asked for once a phase is settled, delivered by teams, judged.

The first teams are asked for code and a report, in the organisers' words and until a deadline. Each
team delivers a file or an address of each kind, and may replace it until the deadline or the
verdict. Where documents are refused or do not come, the next team in line is asked. Files are for
the team and for who may download archives; nobody opens them here but for their first bytes.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime
from functools import partial
from typing import IO

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import DocumentRequest, Membership, Phase, User, WinnerDocument
from challenge.rules import plain_text
from challenge.rules.roles import Act
from challenge.rules.web_address import is_web_address
from challenge.selectors import documents as selector
from challenge.selectors import roles
from challenge.services import audit, phase_lock
from challenge.services.notifications import decision_mails
from challenge.services.storage import archives

FOLDER = "documents"
MOST_TEAMS = 20
WANTED_CHARACTERS = 4000
REASON_CHARACTERS = 2000
LINK_CHARACTERS = 500
Kind, State = WinnerDocument.Kind, DocumentRequest.State
LIMIT_BYTES = {Kind.CODE: 500_000_000, Kind.REPORT: 50_000_000}
# What a file starts with: zip, gzip; PDF.
SIGNATURES = {Kind.CODE: (b"PK\x03\x04", b"\x1f\x8b"), Kind.REPORT: (b"%PDF-",)}
FORMATS = {Kind.CODE: "zip, tar.gz", Kind.REPORT: "PDF"}


def ask(
    *,
    phase: Phase,
    actor: User,
    count: int,
    wanted: str,
    deadline: datetime,
    now: datetime | None = None,
) -> list[DocumentRequest]:
    """Ask the ``count`` best teams that were not asked yet (``Act.FINALS``); they are mailed.

    Raises what `roles.require` raises, Conflict ``result-not-settled``, ``result-not-revealed``,
    ``documents-nobody-left``, Refusal ``documents-count-invalid``, ``documents-wanted-missing``,
    ``field-too-long``, ``documents-deadline-invalid``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.FINALS, phase.challenge)
    wanted = plain_text.lines(wanted)
    if not 1 <= count <= MOST_TEAMS:
        raise refuse("documents-count-invalid", found=count, allowed=MOST_TEAMS)
    if not wanted:
        raise refuse("documents-wanted-missing")
    _check_length("wanted", wanted, WANTED_CHARACTERS)
    _check_deadline(deadline, now=now)
    with transaction.atomic():
        locked = Phase.objects.select_for_update(of=("self",)).get(pk=phase.pk)
        if not locked.settlement_recorded:
            raise refuse("result-not-settled")
        if locked.awaits_reveal:
            raise refuse("result-not-revealed")
        lines = selector.next_lines(locked, count=count)
        made = [
            DocumentRequest.objects.create(
                phase=phase,
                team=line.entry.team,
                rank=line.rank or 0,
                wanted=wanted,
                deadline=deadline,
                asked_at=now,
                asked_by=actor,
            )
            for line in lines
        ]
        if not made:
            raise refuse("documents-nobody-left")
        audit.record(
            "documents.ask",
            actor=actor,
            challenge=phase.challenge,
            target=phase,
            now=now,
            teams=[one.team.name for one in made],
            deadline=deadline.isoformat(),
        )
        for one in made:
            decision_mails.documents_asked(one, now=now)
    return made


def deliver(
    *,
    row: DocumentRequest,
    actor: User,
    kind: str,
    link: str = "",
    file: IO[bytes] | None = None,
    file_name: str = "",
    now: datetime | None = None,
) -> WinnerDocument:
    """Store a team's document: an address or a file; it replaces an earlier one of its kind.

    Raises NotFound for who is not in the team, Refusal ``documents-empty``, ``url-invalid``,
    ``field-too-long``, ``documents-file-invalid``, TooLarge ``documents-file-too-large``, Conflict
    ``documents-decided``, ``documents-late``.
    """
    now = now or timezone.now()
    if not Membership.objects.filter(user=actor, team=row.team_id).exists():
        raise refuse("not-found")
    if kind not in Kind.values:
        raise refuse("not-found")
    link = link.strip()
    if bool(link) == (file is not None):
        raise refuse("documents-empty")
    if link:
        _check_length("link", link, LINK_CHARACTERS)
        if not is_web_address(link):
            raise refuse("url-invalid", field="link")
    values = {"link": link, "stored_name": "", "original_name": "", "sha256": "", "size_bytes": 0}
    _check_open(row, now=now)
    if file is not None:
        values |= _store(file, file_name=file_name, kind=Kind(kind))
    try:
        with transaction.atomic():
            locked = _lock(row)
            _check_open(locked, now=now)
            before = locked.documents.filter(kind=kind).first()
            made, _created = WinnerDocument.objects.update_or_create(
                request=locked,
                kind=kind,
                defaults=values | {"delivered_at": now, "delivered_by": actor},
            )
            locked.state = State.DELIVERED
            locked.save(update_fields=["state"])
            audit.record(
                "documents.deliver",
                actor=actor,
                challenge=row.phase.challenge,
                target=row.team.name,
                now=now,
                phase=str(row.phase),
                kind=kind,
                sha256=made.sha256,
                link=link,
            )
            if before is not None and before.stored_name:
                transaction.on_commit(partial(default_storage.delete, before.stored_name))
    except BaseException:
        if values["stored_name"]:
            default_storage.delete(str(values["stored_name"]))
        raise
    row.state = State.DELIVERED
    return made


def decide(
    *,
    row: DocumentRequest,
    actor: User,
    accept: bool,
    reason: str = "",
    now: datetime | None = None,
) -> None:
    """Accept a team's documents, or refuse them with a reason (``Act.FINALS``); it is mailed.

    Raises what `roles.require` raises, Refusal ``reason-missing`` for a refusal without a reason,
    ``field-too-long``, Conflict ``documents-decided``, ``documents-not-delivered`` for accepting
    what did not come.
    """
    now = now or timezone.now()
    roles.require(actor, Act.FINALS, row.phase.challenge)
    reason = plain_text.lines(reason)
    _check_length("reason", reason, REASON_CHARACTERS)
    if not accept and not reason:
        raise refuse("reason-missing")
    with transaction.atomic():
        locked = _lock(row)
        if locked.state in {State.ACCEPTED, State.REFUSED}:
            raise refuse("documents-decided")
        if accept and locked.state != State.DELIVERED:
            raise refuse("documents-not-delivered")
        row.state = State.ACCEPTED if accept else State.REFUSED
        row.decided_at, row.decided_by, row.reason = now, actor, reason
        row.save(update_fields=["state", "decided_at", "decided_by", "reason"])
        audit.record(
            "documents.accept" if accept else "documents.refuse",
            actor=actor,
            challenge=row.phase.challenge,
            target=row.team.name,
            now=now,
            phase=str(row.phase),
            reason=reason,
        )
        decision_mails.documents_decided(row, now=now)


def extend(
    *, row: DocumentRequest, actor: User, deadline: datetime, now: datetime | None = None
) -> None:
    """Give a team another deadline, after a refusal too (``Act.FINALS``); it is mailed.

    Raises what `roles.require` raises, Refusal ``documents-deadline-invalid``, Conflict
    ``documents-decided`` where they were accepted.
    """
    now = now or timezone.now()
    roles.require(actor, Act.FINALS, row.phase.challenge)
    _check_deadline(deadline, now=now)
    with transaction.atomic():
        locked = _lock(row)
        if locked.state == State.ACCEPTED:
            raise refuse("documents-decided")
        if locked.state == State.REFUSED:
            row.state = State.DELIVERED if locked.documents.exists() else State.ASKED
        row.deadline = deadline
        row.save(update_fields=["state", "deadline"])
        audit.record(
            "documents.extend",
            actor=actor,
            challenge=row.phase.challenge,
            target=row.team.name,
            now=now,
            phase=str(row.phase),
            before=locked.deadline.isoformat(),
            after=deadline.isoformat(),
        )
        decision_mails.documents_asked(row, now=now)


def _lock(row: DocumentRequest) -> DocumentRequest:
    """Lock a request, its phase shared: who signs confirms whose documents are missing."""
    phase_lock.share(row.phase_id)
    return DocumentRequest.objects.select_for_update(of=("self",)).get(pk=row.pk)


def _check_open(row: DocumentRequest, *, now: datetime) -> None:
    if row.state in {State.ACCEPTED, State.REFUSED}:
        raise refuse("documents-decided")
    if now > row.deadline:
        raise refuse("documents-late", deadline=f"{row.deadline:%Y-%m-%d %H:%M}")


def _check_deadline(deadline: datetime, *, now: datetime) -> None:
    if deadline <= now:
        raise refuse("documents-deadline-invalid")


def _check_length(field: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise refuse("field-too-long", field=field, length=len(text), limit=limit)


def _store(file: IO[bytes], *, file_name: str, kind: WinnerDocument.Kind) -> dict[str, str | int]:
    """Put a file into storage; what it must be is told by its first bytes and its size."""
    name, limit = archives.clean_name(file_name), LIMIT_BYTES[kind]
    size_bytes = file.seek(0, 2)
    if size_bytes > limit:
        raise refuse(
            "documents-file-too-large", file=name, found_mb=-(-size_bytes // 10**6),
            limit_mb=limit // 10**6,
        )  # fmt: skip
    file.seek(0)
    if not file.read(8).startswith(SIGNATURES[kind]):
        raise refuse("documents-file-invalid", file=name, allowed=FORMATS[kind])
    file.seek(0)
    digest = hashlib.sha256()
    for chunk in iter(partial(file.read, 1 << 20), b""):
        digest.update(chunk)
    file.seek(0)
    return {
        "stored_name": default_storage.save(f"{FOLDER}/{uuid.uuid4()}", File(file)),
        "original_name": name,
        "sha256": digest.hexdigest(),
        "size_bytes": size_bytes,
    }
