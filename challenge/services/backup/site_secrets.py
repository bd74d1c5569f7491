"""The secrets that a restored site needs: kept in files of their own, and compared.

SECRET_KEY signs receipts and results where RECEIPT_KEY is not set, and encrypts what waits to be
mailed. ``labels.pem`` and ``scoring.pem`` open labels that were sealed. Passwords of servers are
not kept: the new site has servers of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from challenge.services import signing
from challenge.services.backup.manifest import SECRETS, BackupError, Manifest
from challenge.services.labels.keys import LABELS_FILE, SCORING_FILE

SECRET_KEY = "secret_key"
RECEIPT_KEY = "receipt_key"


def mark() -> str:
    """Return what tells whether two sites have one SECRET_KEY, and not which."""
    return hmac.new(settings.SECRET_KEY.encode(), b"challenge backup", hashlib.sha256).hexdigest()


def save(folder: Path) -> list[str]:
    """Write this process's secrets into a folder, mode 0600; returns the names of the files.

    Raises BackupError for a key that cannot be read.
    """
    target = folder / SECRETS
    target.mkdir(mode=0o700)
    texts = {SECRET_KEY: settings.SECRET_KEY, RECEIPT_KEY: settings.RECEIPT_KEY}
    for name, path in _key_files():
        if path.exists():
            try:
                texts[name] = path.read_text(encoding="ascii")
            except (OSError, UnicodeDecodeError) as error:
                raise BackupError(f"{path} cannot be read: {error}") from error
    names = [name for name, text in texts.items() if text]
    for name in names:
        _write_private(target / name, texts[name])
    return names


def differences(manifest: Manifest) -> list[str]:
    """Say which keys of this process are not those of the backup, and what follows."""
    found = []
    if not hmac.compare_digest(mark(), manifest.secret_key_mark):
        found.append("SECRET_KEY differs: mails that wait cannot be sent, links in mails are void")
    if signing.public_key() != manifest.receipt_key:
        found.append("receipts are signed with another key: those of before do not verify here")
    return found


def restore(folder: Path, manifest: Manifest) -> tuple[list[str], list[str]]:
    """Write the keys of sealed labels where this process has a folder for them and no key yet.

    Returns what was written, and notes on what was not. Raises BackupError where another key is.
    """
    written, notes = [], []
    configured = dict(_key_files())
    for name in (LABELS_FILE, SCORING_FILE):
        if name not in manifest.secrets:
            continue
        path, kept = configured.get(name), folder / SECRETS / name
        if path is None or not kept.is_file():
            notes.append(f"{name} was not written: copy {kept} to the worker that needs it")
            continue
        text = kept.read_text(encoding="ascii")
        if path.exists():
            if path.read_text(encoding="ascii") != text:
                raise BackupError(f"{path} is another key than the backup's: move it away first")
            continue
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(path, text)
        written.append(name)
    return written, notes


def _key_files() -> Iterator[tuple[str, Path]]:
    if settings.LABELS_KEY_DIR is not None:
        yield LABELS_FILE, Path(settings.LABELS_KEY_DIR) / LABELS_FILE
    if settings.SCORING_KEY_DIR is not None:
        yield SCORING_FILE, Path(settings.SCORING_KEY_DIR) / SCORING_FILE


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
