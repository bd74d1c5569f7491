"""Signed receipts: what was scored, with which labels and engine, verifiable offline.

Ed25519 over the canonical JSON (sorted keys, no spaces, UTF-8) of ``receipt``. The key is
``settings.RECEIPT_KEY`` (32 bytes, hex) where set, else derived from SECRET_KEY. Figures are those
that may leave the server at the time of signing.
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
from challenge.models import Submission
from challenge.rules import disclosure
from challenge.rules.disclosure import Viewer
from challenge.rules.lifecycle import State
from challenge.selectors import leaderboard

VERSION = 1


def sign(submission: Submission, *, viewer: Viewer, now: datetime | None = None) -> dict[str, Any]:
    """Return {"receipt": {…}, "signature": base64, "key": base64} of a scored submission.

    The score is the latest one under the phase's present truth and task. Raises NotFound when
    there is none, or when ``viewer`` may not see it.
    """
    now = now or timezone.now()
    phase = submission.entry.phase
    window: dict[str, Any] = {"opens_at": phase.opens_at, "closes_at": phase.closes_at, "now": now}
    evaluation = (
        submission.evaluations.filter(
            state=State.SCORED.value,
            ground_truth=phase.ground_truth_id,
            task_spec=phase.task_spec_id,
        )
        .select_related("score", "ground_truth", "task_spec")
        .order_by("-revision")
        .first()
    )
    if evaluation is None or not disclosure.score_visible(
        visibility=phase.visibility, viewer=viewer, **window
    ):
        raise refuse("not-found")
    terms = leaderboard.terms_for(phase, viewer=viewer, now=now)
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
        "ground_truth": {
            "name": str(evaluation.ground_truth),
            "digest": evaluation.ground_truth.digest,
        },
        "task": {"name": str(evaluation.task_spec), "digest": evaluation.task_spec.digest},
        "engine_version": score.engine_version,
        "miou": disclosure.figure(score.miou, terms=terms),
        "decimals": terms.decimals,
        "signed_at": _second(now),
    }
    if terms.classes:
        receipt["class_ious"] = {
            key: disclosure.figure(iou, terms=terms) for key, iou in score.class_ious.items()
        }
    key = _private_key()
    return {
        "receipt": receipt,
        "signature": base64.b64encode(key.sign(canonical(receipt))).decode(),
        "key": public_key(),
    }


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
    configured = getattr(settings, "RECEIPT_KEY", "")
    if configured:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(configured))
    derived = HKDF(
        algorithm=hashes.SHA256(), length=32, salt=None, info=b"challenge receipts"
    ).derive(settings.SECRET_KEY.encode())
    return Ed25519PrivateKey.from_private_bytes(derived)


def _second(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
