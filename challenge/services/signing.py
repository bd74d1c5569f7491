"""Signed documents that anyone can verify offline: receipts of scores, final results.

Ed25519 (RFC 8032) over the canonical JSON of a document: sorted keys, no spaces, UTF-8. The key is
``settings.RECEIPT_KEY`` (32 bytes, hex) where set, else derived from SECRET_KEY.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


def sign(document: dict[str, Any]) -> str:
    """Return the signature of a document: 64 bytes, base64."""
    return base64.b64encode(_private_key().sign(canonical(document))).decode()


def public_key() -> str:
    """Return the public key: 32 bytes, base64."""
    raw = (
        _private_key()
        .public_key()
        .public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    )
    return base64.b64encode(raw).decode()


def is_signed_by(document: dict[str, Any], *, signature: str, key: str) -> bool:
    """Say whether a document was signed with the public ``key`` (base64) and not altered since."""
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
        public.verify(base64.b64decode(signature, validate=True), canonical(document))
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def canonical(document: dict[str, Any]) -> bytes:
    """Return the bytes that are signed.

    >>> canonical({"b": 1, "a": "é"}).decode()
    '{"a":"é","b":1}'
    """
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _private_key() -> Ed25519PrivateKey:
    if settings.RECEIPT_KEY:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(settings.RECEIPT_KEY))
    derived = HKDF(
        algorithm=hashes.SHA256(), length=32, salt=None, info=b"challenge receipts"
    ).derive(settings.SECRET_KEY.encode())
    return Ed25519PrivateKey.from_private_bytes(derived)
