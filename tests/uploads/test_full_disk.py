"""Uploads onto a file system of two megabytes, which the server alone sees."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from challenge.models import User
from tests.live_site import LiveSite
from tests.uploads.conftest import Tus


@pytest.mark.django_db(transaction=True)
def test_a_full_disk_keeps_what_fitted_and_says_507(
    tmp_path: Path, token: str, person: User
) -> None:
    unshare = shutil.which("unshare")
    assert unshare, "unshare (util-linux) is needed"
    parts = tmp_path / "small"
    parts.mkdir()
    mount = f'mount -t tmpfs -o size=2m tmpfs {parts} && exec "$@"'
    site = LiveSite(
        tmp_path,
        environment={"UPLOADS_DIR": str(parts)},
        prefix=(unshare, "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"),
    )
    site.start()
    try:
        tus = Tus(site, token)
        response = tus.request("POST", "/api/v1/uploads", Upload_Length="3000000")
        assert response.status == 507  # declared more than there is
        first, second = tus.create(1_800_000), tus.create(1_800_000)
        body = bytes(1_800_000)
        assert tus.patch(first, body[:1_500_000], offset=0) == 204
        assert tus.patch(second, body, offset=0) == 507  # the disk is full in the middle
        kept = tus.offset(second)
        assert 0 < kept < 600_000
        assert tus.request("DELETE", first).status == 204
        assert tus.patch(second, body[kept:], offset=kept) == 204
    finally:
        site.stop()
