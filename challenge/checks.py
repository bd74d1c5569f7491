"""System checks: misconfiguration is said at start, with a hint, not found out at night."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.files.storage import default_storage


@register(Tags.database)
def check_database(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """The queue is PostgreSQL's: SKIP LOCKED, advisory locks, partial indexes."""
    engine = settings.DATABASES["default"]["ENGINE"]
    if engine.rpartition(".")[2] in {"postgresql", "postgresql_psycopg2"}:
        return []
    return [
        Error(
            f"The database engine is {engine}.",
            hint="Only PostgreSQL (15 or later) works; set DATABASE_URL=postgresql://…",
            id="challenge.E001",
        )
    ]


@register(Tags.security)
def check_labels(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Hidden labels lie where workers read them and nobody downloads them."""
    if settings.LABELS_DIR is None:
        return []
    labels = Path(settings.LABELS_DIR)
    found: list[CheckMessage] = []
    stored = _storage_folder()
    if stored is not None and _inside(labels, stored):
        found.append(
            Error(
                f"LABELS_DIR ({labels}) lies inside the storage of uploads ({stored}).",
                hint="Move the labels out of STORAGE_URL's folder: what is stored can be served.",
                id="challenge.E002",
            )
        )
    if not labels.is_dir():
        found.append(
            checks.Warning(
                f"LABELS_DIR ({labels}) is not there.",
                hint="Mount it or make it; until then this process scores nothing. A web process "
                "needs no labels: leave LABELS_DIR unset there.",
                id="challenge.W003",
            )
        )
    evidence = Path(settings.EVIDENCE_DIR) if settings.EVIDENCE_DIR else None
    if evidence is not None and evidence.is_dir() and not os.access(evidence, os.W_OK):
        found.append(
            Error(
                f"EVIDENCE_DIR ({evidence}) cannot be written.",
                hint="A worker keeps each score's counts there; give it a folder of its own.",
                id="challenge.E004",
            )
        )
    return found


@register(Tags.security)
def check_receipt_key(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """A key that cannot sign is found out now, not with the first receipt."""
    key = settings.RECEIPT_KEY
    try:
        right = not key or len(bytes.fromhex(key)) == 32
    except ValueError:
        right = False
    if right:
        return []
    return [
        Error(
            "RECEIPT_KEY is no Ed25519 private key.",
            hint="64 hexadecimal digits are wanted (32 random bytes): openssl rand -hex 32",
            id="challenge.E005",
        )
    ]


def _storage_folder() -> Path | None:
    try:
        return Path(default_storage.path(""))
    except NotImplementedError:
        return None


def _inside(folder: Path, parent: Path) -> bool:
    return folder.resolve().is_relative_to(parent.resolve())
