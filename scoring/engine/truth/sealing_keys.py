"""Keys of sealed files: pairs on P-256, told apart by fingerprints that people can compare."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

PUBLIC_BYTES = 65  # an uncompressed point: 4, x, y

PrivateKey = ec.EllipticCurvePrivateKey


class SealError(ValueError):
    """A sealed file or a key that cannot be used; the message says what to do, never a content.

    ``code`` tells apart: seal-not-sealed, seal-cut, seal-purpose, seal-key, seal-altered, seal-use.
    """

    def __init__(self, message: str, *, code: str = "seal-use") -> None:
        super().__init__(message)
        self.code = code


def new_key() -> PrivateKey:
    """Return a fresh private key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def public_bytes(key: PrivateKey) -> bytes:
    """Return the public half as an uncompressed point, 65 bytes."""
    return key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def fingerprint(public: bytes) -> str:
    """Return SHA-256 of a public key's 65 bytes, in hexadecimal."""
    return hashlib.sha256(public).hexdigest()


def shown_fingerprint(text: str) -> str:
    """Return a fingerprint in groups of four digits, for people who compare two.

    >>> shown_fingerprint("0123456789ab")
    '0123 4567 89ab'
    """
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def public_text(public: bytes) -> str:
    """Return a public key as text: base64 of its 65 bytes."""
    return base64.b64encode(public).decode()


def read_public(text: str, *, fingerprint_wanted: str | None = None) -> bytes:
    """Return the 65 bytes of a public key's text.

    Raises SealError for what is no point of the curve, and where its fingerprint is not the wanted
    one (spaces and capitals do not count).
    """
    try:
        public = base64.b64decode(text.strip(), validate=True)
        point(public)
    except ValueError as error:
        raise SealError(
            "found a public key that is none; it is the base64 text of 65 bytes that the desk's "
            "page of labels shows"
        ) from error
    if fingerprint_wanted is not None:
        wanted = "".join(fingerprint_wanted.split()).lower()
        if fingerprint(public) != wanted:
            raise SealError(
                f"found a public key with the fingerprint {fingerprint(public)}, wanted is "
                f"{wanted}: ask whoever runs the labels worker for the fingerprint in its log"
            )
    return public


def load_or_create_key(path: Path) -> PrivateKey:
    """Return the private key in a file, made where there is none; only its owner can read it.

    Of processes that make it at the same time one wins. Raises as `load_key`, OSError.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = new_key().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            unfinished.touch(mode=0o600, exist_ok=False)
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # Where another process was first, its key is the one.
            with contextlib.suppress(FileExistsError):
                os.link(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    return load_key(path)


def load_key(path: Path) -> PrivateKey:
    """Return the private key in a PEM file.

    Raises FileNotFoundError, SealError where others may read it or it is no key on P-256.
    """
    if path.stat().st_mode & 0o077:
        raise SealError(f"{path.name} can be read by others: chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise SealError(f"{path.name} holds no private key: put the right file there") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise SealError(f"{path.name} holds a key of another kind; wanted is one on P-256")
    return key


def point(public: bytes) -> ec.EllipticCurvePublicKey:
    """Return a public key from its 65 bytes. Raises ValueError for what is no point."""
    if len(public) != PUBLIC_BYTES or public[0] != 4:
        raise ValueError("not an uncompressed point")
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
