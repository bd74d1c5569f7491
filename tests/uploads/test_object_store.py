"""Uploads that are sent to an S3 server while they arrive: cut, killed, wrong, terminated."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed

from challenge.models import Upload
from tests import s3_server
from tests.helpers import wait_until
from tests.live_site import LiveSite
from tests.s3_server import S3Server
from tests.uploads.conftest import Tus
from tests.uploads.cutting import cutting
from tests.uploads.test_clients import finished, node_modules, run_node  # noqa: F401  a fixture

pytestmark = pytest.mark.filterwarnings(s3_server.QUIET)
MIB = 2**20
PART = 5 * MIB
SIZE = 23_000_000  # four parts and a rest
BODY = os.urandom(SIZE)
SHA256 = hashlib.sha256(BODY).hexdigest()
CUTS = [1_500_000, 6_300_000, 9_000_000, 700_000]


@pytest.fixture(scope="module")
def _s3_site(
    s3_process: S3Server, tmp_path_factory: pytest.TempPathFactory, django_db_setup: None
) -> Iterator[LiveSite]:
    site = LiveSite(
        tmp_path_factory.mktemp("live-s3"),
        environment={
            "STORAGE_URL": s3_process.storage_url,
            "UPLOAD_PART": "5MiB",
            "UPLOAD_IDLE_S": "30",
        },
    )
    yield site
    site.stop()


@pytest.fixture
def site(_s3_site: LiveSite, s3: S3Server, transactional_db: None) -> LiveSite:
    """Instead of the room's own: this one stores in S3."""
    if _s3_site.process is None:
        _s3_site.start()
    return _s3_site


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "predictions.zip"
    path.write_bytes(BODY)
    return path


def row(path: str) -> Upload:
    return Upload.objects.get(id=UUID(path.rsplit("/", 1)[-1]))


def part_file(site: LiveSite, path: str) -> Path:
    return site.folder / "uploads" / f"{row(path).id.hex}.part"


def on_disk_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_full_parts_leave_while_the_upload_runs(tus: Tus, s3: S3Server) -> None:
    path = tus.create(SIZE)
    part = part_file(tus.site, path)
    with tus.open_patch(path, offset=0, length=SIZE) as connection:
        # A server hands out whole chunks, so that up to a megabyte is still in its memory.
        connection.sendall(BODY[: 2 * PART + 2 * MIB])
        wait_until(lambda: s3.parts() == [PART, PART])
        # The offset is still the file's size; its first parts are holes by now.
        assert 2 * PART < tus.offset(path) == part.stat().st_size <= 2 * PART + 2 * MIB
        wait_until(lambda: on_disk_bytes(part) < PART)
        assert s3.objects() == []
        connection.sendall(BODY[2 * PART + 2 * MIB :])
        assert b" 204 " in connection.recv(1000)
    wait_until(lambda: row(path).archive)
    upload = row(path)
    assert upload.sha256 == SHA256
    assert s3.read(upload.archive) == BODY
    assert (s3.incomplete(), s3.objects()) == ([], [f"site/{upload.archive}"])
    assert not list(part.parent.iterdir())
    assert tus.offset(path) == SIZE


def test_requests_of_any_size_make_complete_parts(tus: Tus, s3: S3Server) -> None:
    path = tus.create(SIZE)
    offset = 0
    for size in (3_000_000, 1, PART - 3_000_001, 2 * PART - 1, 2, SIZE):
        body = BODY[offset : offset + size]
        assert tus.patch(path, body, offset=offset) == 204
        offset += len(body)
        if offset < SIZE:  # once answered, less than a part is left behind
            assert s3.parts() == [PART] * (offset // PART)
            assert on_disk_bytes(part_file(tus.site, path)) < PART + MIB
    wait_until(lambda: row(path).sha256 == SHA256)
    assert s3.read(row(path).archive) == BODY


def test_a_small_upload_needs_no_parts(tus: Tus, s3: S3Server) -> None:
    path = tus.create(1000)
    assert tus.patch(path, BODY[:1000], offset=0) == 204
    wait_until(lambda: row(path).archive)
    assert s3.read(row(path).archive) == BODY[:1000]


def test_exactly_some_parts_and_no_rest(tus: Tus, s3: S3Server) -> None:
    path = tus.create(2 * PART)
    assert tus.patch(path, BODY[: 2 * PART], offset=0) == 204
    wait_until(lambda: row(path).sha256 == hashlib.sha256(BODY[: 2 * PART]).hexdigest())


def test_tuspy_with_cuts(site: LiveSite, token: str, file: Path, s3: S3Server) -> None:
    with cutting(site.port, CUTS.copy()) as proxy, file.open("rb") as stream:
        client = TusClient(
            f"{proxy.url}/api/v1/uploads", headers={"Authorization": f"Bearer {token}"}
        )
        uploader = client.uploader(
            file_stream=stream, chunk_size=11_000_000, retries=10, retry_delay=0.1
        )
        for _turn in range(20):
            try:
                uploader.upload()
                break
            except (TusCommunicationError, TusUploadFailed, ConnectionError):
                time.sleep(0.1)
        assert proxy.made == len(CUTS)
        assert finished(str(uploader.url), file)
    assert s3.read(Upload.objects.get().archive) == BODY


def test_tus_js_client_with_cuts(
    site: LiveSite,
    token: str,
    file: Path,
    s3: S3Server,
    node_modules: Path,  # noqa: F811
) -> None:
    with cutting(site.port, CUTS.copy()) as proxy:
        result = run_node(node_modules, proxy.url, token, file)
        assert result.returncode == 0, result.stderr
        assert proxy.made == len(CUTS)
        assert finished(result.stdout, file)
    assert s3.read(Upload.objects.get().archive) == BODY


@pytest.mark.parametrize("bytes_sent", [PART - 1000, 2 * PART + 300_000, 3 * PART])
def test_sigkill_in_the_middle_resumes_after_restart(
    tus: Tus, site: LiveSite, s3: S3Server, bytes_sent: int
) -> None:
    path = tus.create(SIZE)
    with tus.open_patch(path, offset=0, length=SIZE) as connection:
        connection.sendall(BODY[:bytes_sent])
        # At once, so that one is killed while a part is on its way.
        wait_until(lambda: tus.offset(path) > bytes_sent - 2 * MIB)
        site.kill()
    site.start()
    kept = tus.offset(path)
    # What is up there was never sent twice: the offset counts it.
    assert kept >= sum(s3.parts())
    assert bytes_sent - 2 * MIB < kept <= bytes_sent
    assert tus.patch(path, BODY[kept:], offset=kept) == 204
    wait_until(lambda: row(path).sha256 == SHA256)
    assert s3.read(row(path).archive) == BODY
    assert s3.incomplete() == []


def test_killed_again_and_again_while_it_streams(
    site: LiveSite,
    token: str,
    file: Path,
    s3: S3Server,
    node_modules: Path,  # noqa: F811
) -> None:
    kills = []

    def kill_often() -> None:
        for count in (1, 3):
            while len(s3.parts()) < count and not s3.objects():
                time.sleep(0.005)
            kills.append(len(s3.parts()))
            site.kill()
            site.start()

    killer = threading.Thread(target=kill_often)
    killer.start()
    result = run_node(node_modules, site.url, token, file)
    killer.join()
    assert result.returncode == 0, result.stderr
    assert kills[0] >= 1
    assert finished(result.stdout, file)
    assert s3.read(Upload.objects.get().archive) == BODY


def test_nothing_unverified_leaves(tus: Tus, s3: S3Server) -> None:
    path = tus.create(SIZE)
    wrong = "sha256 " + "A" * 43 + "="
    assert tus.patch(path, BODY, offset=0, Upload_Checksum=wrong) == 460
    assert (tus.offset(path), s3.incomplete()) == (0, [])
    half = BODY[: 3 * PART]
    digest = base64.b64encode(hashlib.sha256(half).digest()).decode()
    assert tus.patch(path, half, offset=0, Upload_Checksum=f"sha256 {digest}") == 204
    assert s3.parts() == [PART, PART, PART]
    # What comes on top and is wrong goes; what was verified before is up there and stays.
    assert tus.patch(path, BODY[3 * PART :], offset=3 * PART, Upload_Checksum=wrong) == 460
    assert tus.offset(path) == 3 * PART
    assert tus.patch(path, BODY[3 * PART :], offset=3 * PART) == 204
    wait_until(lambda: row(path).sha256 == SHA256)


def test_one_writer_at_a_time(tus: Tus, s3: S3Server) -> None:
    path = tus.create(SIZE)
    with tus.open_patch(path, offset=0, length=SIZE) as first:
        first.sendall(BODY[: PART + 2 * MIB])
        wait_until(lambda: tus.offset(path) > PART)
        assert tus.patch(path, BODY[:1000], offset=tus.offset(path)) == 423
        assert tus.request("DELETE", path).status == 423
        first.sendall(BODY[PART + 2 * MIB :])
        assert b" 204 " in first.recv(1000)
    wait_until(lambda: row(path).sha256 == SHA256)


def test_termination_leaves_nothing_in_the_store(tus: Tus, s3: S3Server) -> None:
    path = tus.create(SIZE)
    assert tus.patch(path, BODY[: 2 * PART], offset=0) == 204
    assert s3.parts() == [PART, PART]
    assert tus.request("DELETE", path).status == 204
    assert (s3.incomplete(), list((tus.site.folder / "uploads").iterdir())) == ([], [])
