"""Sealing labels: receipts name a commitment to them, which is opened after the close. Pure.

The digest of a set of labels is a check for whoever rebuilt some of them: right or wrong, without
asking the server. A commitment is not, since its key is random and stays on the server while the
labels are hidden; once the key is published, digest and key prove that the labels are those that
were committed to.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

KEY_BYTES = 32


def new_key() -> str:
    """Return a random key, 32 bytes in hexadecimal."""
    return secrets.token_hex(KEY_BYTES)


def commitment(digest: str, *, key: str) -> str:
    """Return HMAC-SHA256 (RFC 2104) of a digest in hexadecimal; ``key`` as :func:`new_key`'s.

    The message is the digest's hexadecimal text. Raises ValueError for a key that is none.

    >>> commitment("ab", key="00" * 32)[:16]
    'd6b79ceb101a91a6'
    """
    raw = bytes.fromhex(key)
    if len(raw) != KEY_BYTES:
        raise ValueError(f"found a key of {len(raw)} bytes; allowed are {KEY_BYTES}")
    return hmac.new(raw, digest.encode(), hashlib.sha256).hexdigest()


def opens(committed: str, *, digest: str, key: str) -> bool:
    """Say whether ``committed`` is the commitment to ``digest`` under ``key``."""
    return hmac.compare_digest(commitment(digest, key=key), committed)
