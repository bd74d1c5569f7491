"""The commands that seal labels offline, and open again what was sealed for a recovery key."""

from __future__ import annotations

import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from scoring.cli.commands import DONE, CommandFailed, failing_on_errors, must_exist
from scoring.engine.truth import sealed as sealing
from scoring.engine.truth import sealing_keys
from scoring.engine.truth.sealed import Context, Kind


def seal(
    *,
    masks: Path,
    key: str,
    fingerprint: str,
    recovery_key: str | None,
    challenge: str,
    phase: str,
    uploader: str,
    out: Path,
) -> int:
    """Seal a zip of masks for the labels worker whose key has the fingerprint."""
    must_exist(masks)
    if not zipfile.is_zipfile(masks):
        raise CommandFailed(f"{masks.name} is no zip: zip the masks (MSK_….tif), then seal the zip")
    with failing_on_errors():
        recipients = [sealing_keys.read_public(_text(key), fingerprint_wanted=fingerprint)]
        if recovery_key is not None:
            recipients.append(sealing_keys.read_public(_text(recovery_key)))
        with masks.open("rb") as source, _new_file(out) as target:
            size = sealing.seal(
                source,
                target,
                size_bytes=masks.stat().st_size,
                kind=Kind.MASKS,
                context=Context(challenge, phase, uploader),
                recipients=recipients,
            )
    print(f"{out}: {size} bytes, sealed for {', '.join(map(_shown, recipients))}")
    return DONE


def unseal(
    *, sealed: Path, key_file: Path, challenge: str, phase: str, uploader: str, out: Path
) -> int:
    """Open a sealed zip of masks with a private key."""
    must_exist(sealed, key_file)
    with failing_on_errors(), sealed.open("rb") as source, _new_file(out) as target:
        size = sealing.unseal(
            source,
            target,
            sealed_bytes=sealed.stat().st_size,
            kind=Kind.MASKS,
            context=Context(challenge, phase, uploader),
            key=sealing_keys.load_key(key_file),
        )
    print(f"{out}: {size} bytes")
    return DONE


def recovery_key(*, out: Path) -> int:
    """Make a private key, and print the public half and its fingerprint."""
    if out.exists():
        raise CommandFailed(f"{out} exists: a key is never written over; name another file")
    with failing_on_errors():
        public = sealing_keys.public_bytes(sealing_keys.load_or_create_key(out.resolve()))
    print(f"public key: {sealing_keys.public_text(public)}\nfingerprint: {_shown(public)}")
    return DONE


def _text(text_or_file: str) -> str:
    try:
        return Path(text_or_file).read_text(encoding="ascii")
    except (OSError, ValueError):
        return text_or_file  # no file of that name: the key itself


def _shown(public: bytes) -> str:
    return sealing_keys.shown_fingerprint(sealing_keys.fingerprint(public))


@contextmanager
def _new_file(out: Path) -> Iterator[IO[bytes]]:
    """A file that becomes ``out`` only if all went well."""
    unfinished = out.with_name(f".{out.name}.{secrets.token_hex(8)}")
    try:
        unfinished.touch(mode=0o600, exist_ok=False)
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
