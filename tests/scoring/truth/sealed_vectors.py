"""Known answers of sealed files, shared with the tests of the browser's script (tests/js).

``python -m tests.scoring.truth.sealed_vectors`` writes ``sealed_vectors.json`` anew; a change of it
is a change of the format.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from scoring.engine.truth import sealed, sealing_keys
from scoring.engine.truth.sealed import Context, Kind, Secrets

FILE = Path(__file__).with_name("sealed_vectors.json")
SIZES = (1, 1000, sealed.SEGMENT_BYTES, sealed.SEGMENT_BYTES + 1, 3 * sealed.SEGMENT_BYTES - 7)


def content(size: int) -> bytes:
    """Bytes that both sides can make: 0, 7, 14 … modulo 251."""
    period = bytes(7 * i % 251 for i in range(251))
    return (period * (size // 251 + 1))[:size]


def key(number: int) -> sealing_keys.PrivateKey:
    """A private key from a small number; for tests alone."""
    digest = hashlib.sha256(f"key {number}".encode()).digest()
    return ec.derive_private_key(int.from_bytes(digest, "big") >> 1, ec.SECP256R1())


def sealed_bytes(size: int, *, context: Context, numbers: list[int]) -> bytes:
    """The sealed file of `content` for the keys of these numbers, under fixed secrets."""
    fixed = Secrets(key(99), bytes(range(32)), b"prefix!")
    target = io.BytesIO()
    sealed.seal(
        io.BytesIO(content(size)),
        target,
        size_bytes=size,
        kind=Kind.MASKS,
        context=context,
        recipients=[sealing_keys.public_bytes(key(number)) for number in numbers],
        fresh=fixed,
    )
    return target.getvalue()


def make() -> dict[str, Any]:
    """All known answers."""
    ephemeral = key(99).private_numbers()
    raw = ephemeral.private_value.to_bytes(32, "big")
    public = sealing_keys.public_bytes(key(99))
    cases = []
    for numbers, subject in (([1], "ana"), ([1, 2], "zoé")):
        for size in SIZES:
            whole = sealed_bytes(size, context=Context("flair-1", "test", subject), numbers=numbers)
            cases.append(
                {
                    "size_bytes": size,
                    "uploader": subject,
                    "recipients": [
                        sealing_keys.public_text(sealing_keys.public_bytes(key(number)))
                        for number in numbers
                    ],
                    "sealed_bytes": len(whole),
                    "sha256": hashlib.sha256(whole).hexdigest(),
                }
            )
    return {
        "challenge": "flair-1",
        "phase": "test",
        "ephemeral_jwk": {
            "kty": "EC",
            "crv": "P-256",
            "d": _url(raw),
            "x": _url(public[1:33]),
            "y": _url(public[33:]),
        },
        "content_key": base64.b64encode(bytes(range(32))).decode(),
        "prefix": base64.b64encode(b"prefix!").decode(),
        "cases": cases,
    }


def _url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


if __name__ == "__main__":
    FILE.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
