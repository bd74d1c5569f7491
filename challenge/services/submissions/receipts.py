"""Signed receipts: what was scored, with which labels and engine, verifiable offline.

Signed as :mod:`challenge.services.signing` says. The values are those that the disclosure policy
allows at the time of signing. While labels are hidden a receipt
names the commitment to them, not their digest (decision 307); signed after the close it has digest
and key too, which open the commitment of every earlier receipt.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Evaluation, Submission
from challenge.rules import commitments, disclosure
from challenge.rules.disclosure import Viewer
from challenge.selectors import phase_disclosure, scores
from challenge.services import signing

# 1 named the digest of the labels at all times.
VERSION = 2


def sign(submission: Submission, *, viewer: Viewer, now: datetime | None = None) -> dict[str, Any]:
    """Return {"receipt": {…}, "signature": base64, "key": base64} of a scored submission.

    The score is the latest one under the phase's present truth and task. Raises NotFound when
    there is none, or when ``viewer`` may not see it.
    """
    now = now or timezone.now()
    phase = submission.entry.phase
    evaluation = _latest_scored(submission)
    is_visible = phase_disclosure.score_visible(
        phase, viewer=viewer, submitted_at=submission.created_at, now=now
    )
    if evaluation is None or not is_visible:
        raise refuse("not-found")
    receipt = _receipt(submission, evaluation, viewer=viewer, now=now)
    return {"receipt": receipt, "signature": signing.sign(receipt), "key": signing.public_key()}


def _latest_scored(submission: Submission) -> Evaluation | None:
    score = (
        scores.current(submission.entry.phase)
        .filter(evaluation__submission=submission)
        .select_related("evaluation__ground_truth", "evaluation__task_spec")
        .last()
    )
    return score.evaluation if score is not None else None


def _receipt(
    submission: Submission, evaluation: Evaluation, *, viewer: Viewer, now: datetime
) -> dict[str, Any]:
    phase = submission.entry.phase
    policy = phase_disclosure.policy_for(phase, viewer=viewer, now=now)
    score = evaluation.score
    receipt: dict[str, Any] = {
        "version": VERSION,
        "submission": str(submission.pk),
        "phase": str(phase),
        "team": submission.entry.team.name,
        "method": submission.method_name,
        "submitted_at": _second(submission.created_at),
        "archive_sha256": submission.archive_sha256,
        "archive_bytes": submission.archive_bytes,
        "content_digest": score.content_digest,
        "ground_truth": phase_disclosure.labels_document(
            evaluation.ground_truth, phase=phase, now=now
        ),
        "task": {"name": str(evaluation.task_spec), "digest": evaluation.task_spec.digest},
        "engine_version": score.engine_version,
        "miou": disclosure.disclose_miou(score.miou, score.rounded_miou, policy=policy),
        "decimals": policy.decimals,
        "signed_at": _second(now),
    }
    if policy.classes:
        receipt["class_ious"] = disclosure.disclose_class_ious(
            score.class_ious, score.rounded, policy=policy
        )
    return receipt


def labels_match(signed: dict[str, Any], *, digest: str, commitment_key: str) -> bool:
    """Say whether a receipt, of any version, is about the labels with this digest."""
    labels = signed["receipt"]["ground_truth"]
    if "commitment" not in labels:
        return bool(labels["digest"] == digest)
    return commitments.opens(labels["commitment"], digest=digest, key=commitment_key)


def verify(signed: dict[str, Any], *, key: str) -> bool:
    """Say whether a receipt was signed with the public ``key`` (base64) and not altered since."""
    receipt = signed.get("receipt")
    return isinstance(receipt, dict) and signing.is_signed_by(
        receipt, signature=signed.get("signature", ""), key=key
    )


def _second(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
