"""Misconfiguration is said at start, with a hint."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.storage import default_storage
from django.test import override_settings

from challenge import checks


def ids(found: list[object]) -> list[str]:
    return [one.id for one in found]


def test_ours_is_right() -> None:
    assert checks.check_database(None) == []
    assert checks.check_labels(None) == []
    assert checks.check_receipt_key(None) == []


def test_another_database_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite = {"default": {"ENGINE": "django.db.backends.sqlite3"}}
    monkeypatch.setattr(settings, "DATABASES", sqlite)
    assert ids(checks.check_database(None)) == ["challenge.E001"]


def test_labels_in_the_uploads_storage_are_an_error() -> None:
    labels = Path(default_storage.path("labels"))
    with override_settings(LABELS_DIR=labels, EVIDENCE_DIR=None):
        assert "challenge.E002" in ids(checks.check_labels(None))


def test_labels_that_are_not_there_are_a_warning(tmp_path: Path) -> None:
    with override_settings(LABELS_DIR=tmp_path / "gone", EVIDENCE_DIR=None):
        assert ids(checks.check_labels(None)) == ["challenge.W003"]
    with override_settings(LABELS_DIR=tmp_path, EVIDENCE_DIR=tmp_path):
        assert checks.check_labels(None) == []


@pytest.mark.parametrize("key", ["xyz", "11" * 31, "11" * 33])
def test_a_key_that_cannot_sign_is_an_error(key: str) -> None:
    with override_settings(RECEIPT_KEY=key):
        assert ids(checks.check_receipt_key(None)) == ["challenge.E005"]
    with override_settings(RECEIPT_KEY="11" * 32):
        assert checks.check_receipt_key(None) == []
