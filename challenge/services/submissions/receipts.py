"""Signed receipts: what was scored, with which labels and engine, verifiable offline.

Ed25519 over the canonical JSON (sorted keys, no spaces, UTF-8) of ``receipt``. The key is
``settings.RECEIPT_KEY`` (32 bytes, hex) where set, else derived from SECRET_KEY. The values are
those that the disclosure policy allows at the time of signing. While labels are hidden a receipt
names the commitment to them, not their digest (decision 307); signed after the close it has digest
and key too, which open the commitment of every earlier receipt.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Evaluation, GroundTruth, Phase, Submission
from challenge.rules import commitments, disclosure
from challenge.rules.disclosure import Viewer
from challenge.selectors import phase_disclosure, scores

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
    key = _private_key()
    return {
        "receipt": receipt,
        "signature": base64.b64encode(key.sign(canonical(receipt))).decode(),
        "key": public_key(),
    }


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
        "ground_truth": labels_document(evaluation.ground_truth, phase=phase, now=now),
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


def labels_document(truth: GroundTruth, *, phase: Phase, now: datetime) -> dict[str, str]:
    """Return name and commitment of labels; once they are not hidden, digest and key too."""
    document = {"name": str(truth), "commitment": truth.commitment}
    if not phase_disclosure.labels_sealed(phase, now=now):
        document |= {"digest": truth.digest, "commitment_key": truth.commitment_key}
    return document


def labels_match(signed: dict[str, Any], *, digest: str, commitment_key: str) -> bool:
    """Say whether a receipt, of any version, is about the labels with this digest."""
    labels = signed["receipt"]["ground_truth"]
    if "commitment" not in labels:
        return bool(labels["digest"] == digest)
    return commitments.opens(labels["commitment"], digest=digest, key=commitment_key)


def public_key() -> str:
    """Return the public key: 32 bytes, base64."""
    raw = (
        _private_key()
        .public_key()
        .public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    )
    return base64.b64encode(raw).decode()


def verify(signed: dict[str, Any], *, key: str) -> bool:
    """Say whether a receipt was signed with the public ``key`` (base64) and not altered since."""
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
        public.verify(
            base64.b64decode(signed["signature"], validate=True), canonical(signed["receipt"])
        )
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return False
    return True


def canonical(receipt: dict[str, Any]) -> bytes:
    """Return the bytes that are signed.

    >>> canonical({"b": 1, "a": "é"}).decode()
    '{"a":"é","b":1}'
    """
    return json.dumps(
        receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _private_key() -> Ed25519PrivateKey:
    if settings.RECEIPT_KEY:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(settings.RECEIPT_KEY))
    derived = HKDF(
        algorithm=hashes.SHA256(), length=32, salt=None, info=b"challenge receipts"
    ).derive(settings.SECRET_KEY.encode())
    return Ed25519PrivateKey.from_private_bytes(derived)


def _second(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
