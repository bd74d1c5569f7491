"""The keys of sealed labels: the labels worker's own, and the one that scoring workers share.

Private halves are files of one machine's volumes, never rows: the web cannot read them. Which
public key masks are sealed for is a row that the labels worker writes; its fingerprint is in the
worker's log, too, where no web server can change it.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from challenge.models import LabelKey
from scoring.engine.truth import sealing_keys
from scoring.engine.truth.sealing_keys import PrivateKey, SealError

LABELS_FILE = "labels.pem"
SCORING_FILE = "scoring.pem"


def labels_key() -> PrivateKey:
    """Return the labels worker's private key, made at its first start.

    Raises SealError without LABELS_KEY_DIR or with a key that others can read, OSError.
    """
    if settings.LABELS_KEY_DIR is None:
        raise SealError("LABELS_KEY_DIR is not set: this worker has no key to open labels with")
    return sealing_keys.load_or_create_key(Path(settings.LABELS_KEY_DIR) / LABELS_FILE)


def scoring_key() -> PrivateKey | None:
    """Return the key that scoring workers open labels with, None without SCORING_KEY_DIR.

    The labels worker makes it where there is none; a scoring worker waits for it. Raises SealError
    as `labels_key`, FileNotFoundError, OSError.
    """
    if settings.SCORING_KEY_DIR is None:
        return None
    path = Path(settings.SCORING_KEY_DIR) / SCORING_FILE
    if settings.LABELS_KEY_DIR is not None:
        return sealing_keys.load_or_create_key(path)
    return sealing_keys.load_key(path)


def announce(key: PrivateKey, *, now: datetime | None = None) -> LabelKey:
    """Write the labels worker's public key, from now on the one that masks are sealed for."""
    now = now or timezone.now()
    public = sealing_keys.public_bytes(key)
    row, _created = LabelKey.objects.update_or_create(
        fingerprint=sealing_keys.fingerprint(public),
        defaults={"public_key": sealing_keys.public_text(public), "seen_at": now},
        create_defaults={
            "public_key": sealing_keys.public_text(public),
            "created_at": now,
            "seen_at": now,
        },
    )
    return row
