"""A person, and uploads made without HTTP."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest

from challenge.models import Upload, User
from challenge.services.storage import uploads
from tests import factories
from tests.s3_server import s3, s3_process

__all__ = ["s3", "s3_process"]

BODY = os.urandom(200_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def _upload_folder(tmp_path: Path, settings: Any) -> None:
    settings.UPLOADS_DIR = tmp_path / "parts"
    settings.UPLOAD_RESERVE_BYTES = 0


@pytest.fixture
def ada(db: None) -> User:
    return factories.register(factories.make_user("ada"))


def declare(user: User, length: int = len(BODY)) -> Upload:
    return uploads.create(user=user, length_bytes=length, original_name="a/b\x00\\p.zip")


def fill(upload: Upload, body: bytes = BODY) -> Upload:
    append(upload, body, offset=0)
    return upload


def append(upload: Upload, body: bytes, *, offset: int) -> int:
    return uploads.receive(
        upload=upload, stream=io.BytesIO(body), offset_bytes=offset, length_bytes=len(body)
    )
