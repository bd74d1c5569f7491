"""Sealed files: labels on their way, which only who has a private key can open.

The content is cut into segments of 1 MiB, each encrypted with AES-256-GCM under one random content
key; nonces are a random prefix, a counter and a mark on the last segment (the STREAM construction,
Hoang, Reyhanitabar, Rogaway and Vizár 2015), so that no segment can be changed, moved, left out or
added. The content key is wrapped for each recipient by ECDH on P-256 (NIST SP 800-56A) and
HKDF-SHA256 (RFC 5869). docs/sealed-labels.md has the bytes; the browser writes the same ones
(challenge/static/js/labels/seal.js).
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from scoring.engine.truth import sealing_keys
from scoring.engine.truth.sealing_keys import PUBLIC_BYTES, PrivateKey, SealError

MAGIC = b"FLAIRSL1"
SEGMENT_BYTES = 2**20
TAG_BYTES = 16
KEY_BYTES = 32
PREFIX_BYTES = 7
RECIPIENTS_MAX = 4
CONTEXT_BYTES_MAX = 1024
_WRAP_LABEL = b"FLAIRSL1 content key\0"
_HEAD = struct.Struct(f">8sBBHQ{PREFIX_BYTES}s{PUBLIC_BYTES}s")
_RECIPIENT = struct.Struct(f">{KEY_BYTES}s{KEY_BYTES + TAG_BYTES}s")
_ZERO_NONCE = bytes(12)  # each wrapping key is used once


class Kind(IntEnum):
    """What a sealed file holds."""

    MASKS = 1  # a zip of masks, from an owner to the labels worker
    LABEL_FILE = 2  # a file of LABELS_DIR, from the labels worker to the scoring workers


@dataclass(frozen=True, slots=True)
class Context:
    """What a sealed file is for, bound to it: it opens for exactly this.

    Of masks: challenge, phase, uploader. Of a label file: challenge, phase, the file's name.
    """

    challenge: str
    phase: str
    subject: str

    def __post_init__(self) -> None:
        if any("\n" in part or not part for part in (self.challenge, self.phase, self.subject)):
            raise SealError(f"found {self!r}; each part is one line of text")

    def encode(self) -> bytes:
        """The three parts, one a line, in UTF-8."""
        return "\n".join((self.challenge, self.phase, self.subject)).encode()


@dataclass(frozen=True, slots=True)
class Header:
    """The head of a sealed file: all that is readable without a key.

    ``recipients`` maps fingerprints to wrapped content keys; ``fixed`` are the bytes before them,
    ``digest`` is SHA-256 of the whole head.
    """

    kind: int
    context: bytes
    size_bytes: int
    prefix: bytes
    ephemeral: bytes
    recipients: dict[str, bytes]
    fixed: bytes
    digest: bytes
    length_bytes: int

    @property
    def segments(self) -> int:
        """How many segments follow."""
        return -(-self.size_bytes // SEGMENT_BYTES)

    @property
    def sealed_bytes(self) -> int:
        """Length of the whole sealed file."""
        return self.length_bytes + self.size_bytes + self.segments * TAG_BYTES


def overhead_bytes(size_bytes: int) -> int:
    """Return by how much a sealed file may be larger than its content, at most."""
    head = _HEAD.size + CONTEXT_BYTES_MAX + RECIPIENTS_MAX * _RECIPIENT.size
    return head + TAG_BYTES * -(-size_bytes // SEGMENT_BYTES)


# --- Sealing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Secrets:
    """The random values of one sealed file; given only by tests, never used twice."""

    ephemeral: PrivateKey
    content_key: bytes
    prefix: bytes

    @classmethod
    def fresh(cls) -> Secrets:
        """Return new random values."""
        return cls(
            sealing_keys.new_key(),
            secrets.token_bytes(KEY_BYTES),
            secrets.token_bytes(PREFIX_BYTES),
        )


def seal(
    source: IO[bytes],
    target: IO[bytes],
    *,
    size_bytes: int,
    kind: Kind,
    context: Context,
    recipients: Sequence[bytes],
    fresh: Secrets | None = None,
) -> int:
    """Write ``size_bytes`` of ``source`` sealed for the public keys; returns the bytes written.

    Memory is that of one segment. Raises SealError where there is no recipient or too many, or the
    source has another length.
    """
    if size_bytes < 1:
        raise SealError("found an empty file; there is nothing to seal")
    fresh = fresh or Secrets.fresh()
    head = make_header(
        size_bytes=size_bytes, kind=kind, context=context, recipients=recipients, fresh=fresh
    )
    header_digest = hashlib.sha256(head).digest()
    cipher = AESGCM(fresh.content_key)
    target.write(head)
    written, left, number = len(head), size_bytes, 0
    while left:
        plain = _read_exactly(source, min(SEGMENT_BYTES, left))
        left -= len(plain)
        nonce = segment_nonce(fresh.prefix, number, is_last=not left)
        written += target.write(cipher.encrypt(nonce, plain, header_digest))
        number += 1
    if source.read(1):
        raise SealError("the file grew while it was sealed: seal it again")
    return written


def make_header(
    *,
    size_bytes: int,
    kind: Kind,
    context: Context,
    recipients: Sequence[bytes],
    fresh: Secrets,
) -> bytes:
    """Return the head of a sealed file. Raises SealError as `seal`."""
    if not 1 <= len(recipients) <= RECIPIENTS_MAX:
        raise SealError(f"found {len(recipients)} recipients; allowed are 1 to {RECIPIENTS_MAX}")
    described = context.encode()
    if len(described) > CONTEXT_BYTES_MAX:
        raise SealError(
            f"challenge, phase and subject have {len(described)} bytes; allowed are "
            f"{CONTEXT_BYTES_MAX}"
        )
    ephemeral = sealing_keys.public_bytes(fresh.ephemeral)
    count = len(recipients)
    fixed = (
        _HEAD.pack(MAGIC, kind, count, len(described), size_bytes, fresh.prefix, ephemeral)
        + described
    )
    rows = b""
    for public in recipients:
        shared = fresh.ephemeral.exchange(ec.ECDH(), sealing_keys.point(public))
        wrapping = AESGCM(_wrapping_key(shared, ephemeral=ephemeral, recipient=public))
        wrapped = wrapping.encrypt(_ZERO_NONCE, fresh.content_key, fixed)
        rows += _RECIPIENT.pack(bytes.fromhex(sealing_keys.fingerprint(public)), wrapped)
    return fixed + rows


def segment_nonce(prefix: bytes, number: int, *, is_last: bool) -> bytes:
    """Return the 12 bytes of a segment's nonce: prefix, counter, 1 on the last segment else 0."""
    return prefix + struct.pack(">IB", number, is_last)


# --- Opening ------------------------------------------------------------------------------------


def read_header(source: IO[bytes]) -> Header:
    """Read the head of a sealed file. Raises SealError for what is none."""
    head = source.read(_HEAD.size)
    if len(head) < _HEAD.size or not head.startswith(MAGIC):
        raise SealError(
            "is not a sealed file: choose the zip of masks on the desk's page of labels, or seal "
            "it with python -m scoring seal",
            code="seal-not-sealed",
        )
    _magic, kind, count, context_bytes, size_bytes, prefix, ephemeral = _HEAD.unpack(head)
    if not (1 <= count <= RECIPIENTS_MAX and context_bytes <= CONTEXT_BYTES_MAX and size_bytes):
        raise SealError("its head is damaged: seal the masks again", code="seal-altered")
    rest_bytes = context_bytes + count * _RECIPIENT.size
    rest = source.read(rest_bytes)
    if len(rest) < rest_bytes:
        raise SealError("is cut off: seal the masks again, or send the whole file", code="seal-cut")
    context, rows = rest[:context_bytes], rest[context_bytes:]
    recipients = {one.hex(): wrapped for one, wrapped in _RECIPIENT.iter_unpack(rows)}
    return Header(
        kind=kind,
        context=context,
        size_bytes=size_bytes,
        prefix=prefix,
        ephemeral=ephemeral,
        recipients=recipients,
        fixed=head + context,
        digest=hashlib.sha256(head + rest).digest(),
        length_bytes=_HEAD.size + rest_bytes,
    )


def unseal(
    source: IO[bytes],
    target: IO[bytes],
    *,
    sealed_bytes: int,
    kind: Kind,
    context: Context,
    key: PrivateKey,
) -> int:
    """Write the content of a sealed file of ``sealed_bytes`` to ``target``; returns its bytes.

    A segment is written once it proved authentic, so that after an error ``target`` has a true
    beginning, to be thrown away. Memory is that of one segment. Raises SealError: no sealed file,
    cut off or too long, for something else, for another key, changed.
    """
    header = read_header(source)
    if header.sealed_bytes != sealed_bytes:
        raise SealError(
            f"has {sealed_bytes} bytes, its head announces {header.sealed_bytes}: send the whole "
            "file, or seal the masks again",
            code="seal-cut",
        )
    _check_purpose(header, kind=kind, context=context)
    cipher = AESGCM(_unwrapped(header, key))
    left, number = header.size_bytes, 0
    while left:
        size = min(SEGMENT_BYTES, left)
        left -= size
        nonce = segment_nonce(header.prefix, number, is_last=not left)
        try:
            plain = cipher.decrypt(nonce, source.read(size + TAG_BYTES), header.digest)
        except InvalidTag as error:
            raise SealError(
                f"segment {number + 1} of {header.segments} was changed on the way: seal the masks "
                "again",
                code="seal-altered",
            ) from error
        target.write(plain)
        number += 1
    return header.size_bytes


def _check_purpose(header: Header, *, kind: Kind, context: Context) -> None:
    if header.kind != kind or header.context != context.encode():
        found = header.context.decode(errors="replace").replace("\n", " · ")
        wanted = context.encode().decode().replace("\n", " · ")
        raise SealError(
            f"was sealed for something else: found “{found}” (kind {header.kind}), wanted "
            f"“{wanted}” (kind {int(kind)}). Seal the masks again on the page where they belong, "
            "signed in as who uploads them",
            code="seal-purpose",
        )


def _unwrapped(header: Header, key: PrivateKey) -> bytes:
    public = sealing_keys.public_bytes(key)
    wrapped = header.recipients.get(sealing_keys.fingerprint(public))
    if wrapped is None:
        raise SealError(
            "was sealed for other keys: found "
            + ", ".join(one[:16] for one in header.recipients)
            + f", wanted {sealing_keys.fingerprint(public)[:16]}. Load the page anew and seal the "
            "masks again",
            code="seal-key",
        )
    try:
        shared = key.exchange(ec.ECDH(), sealing_keys.point(header.ephemeral))
        wrapping = AESGCM(_wrapping_key(shared, ephemeral=header.ephemeral, recipient=public))
        return wrapping.decrypt(_ZERO_NONCE, wrapped, header.fixed)
    except (InvalidTag, ValueError) as error:
        raise SealError(
            "its head was changed on the way: seal the masks again", code="seal-altered"
        ) from error


def _wrapping_key(shared: bytes, *, ephemeral: bytes, recipient: bytes) -> bytes:
    info = _WRAP_LABEL + ephemeral + recipient
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=info).derive(shared)


def _read_exactly(source: IO[bytes], size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        raise SealError("the file shrank while it was sealed: seal it again")
    return data
