"""Signing a phase's final result: once it is settled, revealed and has no open verdict.

A result is a document with a signature that anyone can verify offline. It is never changed: a
later disqualification, re-score or rename leaves it as it is, and makes at most another version,
with a reason that everybody reads. Who signs confirms the digest of the lines that were shown.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import FinalResult, Phase, User
from challenge.rules import plain_text
from challenge.rules.roles import Act
from challenge.selectors import final_results as selector
from challenge.selectors import leaderboard, phase_disclosure, roles
from challenge.selectors.final_results import Draft
from challenge.services import audit, phase_lock, signing
from challenge.services.leaderboard import ranks

# The layout of a document: raise it when a key changes its meaning.
LAYOUT = 1
REASON_CHARACTERS = 2000


def digest(draft: Draft) -> str:
    """Return the digest of what a draft shows (SHA-256, hex): what a signature confirms."""
    shown: dict[str, Any] = {"lines": draft.lines}
    if draft.documents:
        shown["documents"] = draft.documents
    return hashlib.sha256(signing.canonical(shown)).hexdigest()


def sign(
    *, phase: Phase, actor: User, confirmed: str, reason: str = "", now: datetime | None = None
) -> FinalResult:
    """Sign what a phase's lines are now as the next version of its final result.

    ``confirmed`` is the :func:`digest` of the draft that the actor saw. Raises what
    `roles.require` raises for ``Act.FINALS``, and Conflict: each obstacle of
    :func:`challenge.selectors.final_results.obstacles`, ``result-changed-meanwhile`` where the
    lines are other ones now, ``result-unchanged`` where the last version says the same;
    ``result-reason-missing`` for a version after the first without a reason, ``field-too-long``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.FINALS, phase.challenge)
    reason = plain_text.lines(reason)
    if len(reason) > REASON_CHARACTERS:
        raise refuse("field-too-long", field="reason", length=len(reason), limit=REASON_CHARACTERS)
    with transaction.atomic():
        locked = phase_lock.take(phase.pk)
        ranks.recompute(phase=locked, now=now)
        draft = selector.draft(locked, now=now)
        for obstacle in draft.obstacles:
            raise obstacle
        if digest(draft) != confirmed:
            raise refuse("result-changed-meanwhile")
        last = selector.get(locked) if locked.result_version else None
        if last is not None and not reason:
            raise refuse("result-reason-missing")
        if last is not None and last.document["lines"] == draft.lines:
            raise refuse("result-unchanged", version=last.version)
        locked.result_version += 1
        document = _document(locked, draft, last=last, reason=reason, now=now)
        result = FinalResult.objects.create(
            phase=locked,
            version=locked.result_version,
            document=document,
            signature=signing.sign(document),
            key=signing.public_key(),
            reason=reason,
            signed_at=now,
            signed_by=actor,
        )
        locked.save(update_fields=["result_version"])
        audit.record(
            "result.sign",
            actor=actor,
            challenge=locked.challenge,
            target=locked,
            now=now,
            version=result.version,
            reason=result.reason,
            lines=len(draft.lines),
            digest=confirmed,
        )
    phase.result_version = locked.result_version
    return result


def _document(
    phase: Phase, draft: Draft, *, last: FinalResult | None, reason: str, now: datetime
) -> dict[str, Any]:
    truth, task = phase.ground_truth, phase.task_spec
    assert truth is not None
    assert task is not None
    classes = leaderboard.classes_of(phase)
    previous = signing.canonical(last.document) if last is not None else None
    return {
        "type": "final result",
        "layout": LAYOUT,
        "challenge": phase.challenge.slug,
        "phase": phase.slug,
        "version": phase.result_version,
        "reason": reason,
        "previous_sha256": hashlib.sha256(previous).hexdigest() if previous else None,
        "signed_at": _second(now),
        "closed_at": _second(phase.closes_at),
        "settled_at": _second(phase.settled_at),
        "revealed_at": _second(phase.revealed_at),
        "counted_zones": phase.counted_zones,
        "ground_truth": phase_disclosure.labels_document(truth, phase=phase, now=now),
        "task": {"name": str(task), "digest": task.digest},
        "classes": [{"key": one.key, "name": one.name} for one in classes],
        "decimals": draft.decimals,
        "lines": draft.lines,
    }


def _second(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at is not None else None
