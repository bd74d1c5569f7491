"""The tus 1.0 protocol, request by request, against a real server process."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import socket
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from challenge.models import Upload, User
from challenge.services.accounts import tokens
from challenge.uploads import streams
from tests import factories
from tests.helpers import wait_until
from tests.live_site import LiveSite
from tests.uploads.conftest import Tus, reset

BODY = os.urandom(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
CHECKSUM = f"sha256 {base64.b64encode(hashlib.sha256(BODY).digest()).decode()}"


def stored(path: str) -> Upload:
    return Upload.objects.get(id=UUID(path.rsplit("/", 1)[-1]))


def test_it_works(tus: Tus, storage: Path) -> None:
    name = base64.b64encode(b"pr\xc3\xa9d.zip").decode()
    path = tus.create(len(BODY), Upload_Metadata=f"filename {name}")
    assert tus.offset(path) == 0
    assert tus.patch(path, BODY[:100_000], offset=0) == 204
    assert tus.offset(path) == 100_000
    assert tus.patch(path, BODY[100_000:], offset=100_000) == 204
    assert tus.offset(path) == len(BODY)
    wait_until(lambda: stored(path).archive)
    upload = stored(path)
    assert upload.sha256 == SHA256
    assert upload.original_name == "préd.zip"
    assert (storage / upload.archive).read_bytes() == BODY
    # The part is gone, the offset still tells the truth.
    assert not (tus.site.folder / "uploads" / f"{upload.id.hex}.part").exists()
    assert tus.offset(path) == len(BODY)


def test_options_returns_the_tus_extensions(tus: Tus) -> None:
    response = tus.request("OPTIONS", "/api/v1/uploads")
    assert response.status == 204
    assert response.headers["Tus-Version"] == "1.0.0"
    assert set(response.headers["Tus-Extension"].split(",")) == {
        "creation",
        "creation-with-upload",
        "expiration",
        "checksum",
        "termination",
    }
    assert response.headers["Tus-Max-Size"] == "100000000"


def test_creation_with_upload(tus: Tus) -> None:
    response = tus.request(
        "POST",
        "/api/v1/uploads",
        body=BODY,
        Upload_Length=str(len(BODY)),
        Content_Type="application/offset+octet-stream",
    )
    assert response.status == 201
    assert response.headers["Upload-Offset"] == str(len(BODY))
    assert response.headers["Upload-Expires"].endswith("GMT")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Tus_Resumable": "0.2.2", "Upload_Length": "1"}, 412, "tus-version"),
        ({"Upload_Length": "-1"}, 400, "upload-header-invalid"),
        ({"Upload_Length": "1e3"}, 400, "upload-header-invalid"),
        ({}, 400, "upload-header-invalid"),
        ({"Upload_Defer_Length": "1"}, 400, "upload-header-invalid"),
        ({"Upload_Length": "1", "Upload_Concat": "partial"}, 400, "upload-header-invalid"),
        ({"Upload_Length": "100000001"}, 413, "upload-too-large"),
        ({"Upload_Length": "1", "Upload_Metadata": "a !!"}, 400, "upload-header-invalid"),
        ({"Upload_Length": "1", "Upload_Metadata": "a YQ==,a YQ=="}, 400, "upload-header-invalid"),
        ({"Upload_Length": "1", "Upload_Metadata": "a \xff\xfe"}, 400, "upload-header-invalid"),
        ({"Upload_Length": "1", "Upload_Metadata": "a //4="}, 400, "upload-header-invalid"),
        ({"Upload_Length": "1", "Upload_Checksum": "md5 \xff"}, 400, "upload-header-invalid"),
        (
            {"Upload_Length": "1", "Upload_Metadata": "a " + "YQ==" * 1500},
            413,
            "upload-metadata-too-large",
        ),
        ({"Upload_Length": "1", "Upload_Checksum": "sha3 YQ=="}, 400, "upload-header-invalid"),
        ({"Upload_Length": "1", "Authorization": "Bearer flair_no_no"}, 401, "token-invalid"),
        ({"Upload_Length": "1", "Authorization": ""}, 401, "not-authenticated"),
    ],
)
def test_bad_creations_are_refused_in_words(
    tus: Tus, headers: dict[str, str], status: int, code: str
) -> None:
    response = tus.request("POST", "/api/v1/uploads", **headers)
    assert (response.status, json.loads(response.text)["code"]) == (status, code)  # type: ignore[attr-defined]
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Tus-Resumable"] == "1.0.0"
    assert not Upload.objects.exists()


def test_declared_bytes_of_one_person_are_limited(tus: Tus) -> None:
    tus.create(100_000_000)
    response = tus.request("POST", "/api/v1/uploads", Upload_Length="60000000")
    assert (response.status, json.loads(response.text)["code"]) == (413, "upload-quota")  # type: ignore[attr-defined]


def test_a_team_without_free_space_is_refused_before_the_first_byte(tus: Tus, person: User) -> None:
    challenge = factories.make_challenge("abc", team_archives_bytes=1000)
    factories.make_phase(challenge, "test", closes_at=None)
    factories.make_team(challenge, members=[person])
    name = base64.b64encode(b"abc/test").decode()
    headers = {"Upload_Metadata": f"filename cC56aXA=,phase {name}", "Accept_Language": "fr"}
    response = tus.request("POST", "/api/v1/uploads", Upload_Length="1001", **headers)
    problem = json.loads(response.text)  # type: ignore[attr-defined]
    assert (response.status, problem["code"]) == (413, "team-archives-full")
    assert problem["detail"].startswith("Les archives de votre équipe occuperaient 1001 octets")
    assert problem["params"] == {"found_bytes": 1001, "allowed_bytes": 1000}
    tus.create(1000, **headers)


@pytest.mark.parametrize(
    ("limits", "status", "code"),
    [
        ({"archive_limit_bytes": 999}, 413, "archive-too-large"),
        ({"closes_at": factories.NOON}, 409, "phase-closed"),
        ({"daily_limit": 0}, 429, "quota-day-used"),
        ({"is_published": False}, 404, "not-found"),
        ({"truth": False}, 409, "phase-not-ready"),
    ],
    ids=["size", "window", "quota", "hidden", "labels"],
)
def test_what_the_named_phase_refuses_is_refused_before_a_byte(
    tus: Tus, person: User, limits: dict[str, Any], status: int, code: str
) -> None:
    challenge = factories.make_challenge("abc")
    fields = {"opens_at": factories.LONG_AGO, "closes_at": None} | limits
    phase = factories.make_phase(challenge, "test", **fields)
    team = factories.make_team(challenge, members=[person])
    factories.make_entry(team, phase)
    name = base64.b64encode(b"abc/test").decode()
    response = tus.request(
        "POST", "/api/v1/uploads", Upload_Length="1000", Upload_Metadata=f"phase {name}"
    )
    assert (response.status, json.loads(response.text)["code"]) == (status, code)  # type: ignore[attr-defined]
    assert not Upload.objects.exists()
    tus.create(1000)  # a client that names no phase is told when it submits


def test_a_token_without_the_scope_may_not_upload(tus: Tus, person: User) -> None:
    _row, plain = tokens.create(user=person, name="reader", scopes=["read"])
    response = tus.request(
        "POST", "/api/v1/uploads", Upload_Length="1", Authorization=f"Bearer {plain}"
    )
    assert response.status == 403


def test_others_uploads_look_like_none(tus: Tus) -> None:
    path = tus.create(10)
    rival = User.objects.create_user("bob", "bob@example.org", "secret")
    _row, plain = tokens.create(user=rival, name="rival", scopes=["submit"])
    for method in ("HEAD", "PATCH", "DELETE"):
        response = tus.request(method, path, Authorization=f"Bearer {plain}")
        assert response.status == 404
    assert tus.offset(path) == 0


def test_a_wrong_offset_is_a_conflict_that_names_the_right_one(tus: Tus) -> None:
    path = tus.create(len(BODY))
    assert tus.patch(path, BODY[:10], offset=0) == 204
    response = tus.request(
        "PATCH",
        path,
        body=BODY,
        Upload_Offset="0",
        Content_Type="application/offset+octet-stream",
    )
    assert (response.status, response.headers["Upload-Offset"]) == (409, "10")
    assert tus.offset(path) == 10


def test_more_bytes_than_declared_are_refused(tus: Tus) -> None:
    path = tus.create(100)
    assert tus.patch(path, BODY[:101], offset=0) == 413
    assert tus.offset(path) == 0


def test_another_content_type_is_refused(tus: Tus) -> None:
    path = tus.create(100)
    response = tus.request("PATCH", path, body=b"x", Upload_Offset="0", Content_Type="text/plain")
    assert response.status == 415


def test_chunked_encoding_is_refused_with_411(tus: Tus) -> None:
    path = tus.create(100)
    connection = http.client.HTTPConnection("127.0.0.1", tus.site.port, timeout=120)
    headers = tus.headers(Upload_Offset="0", Content_Type="application/offset+octet-stream")
    connection.request("PATCH", path, body=iter([b"abc"]), headers=headers, encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 411
    response.read()
    connection.close()
    assert tus.offset(path) == 0


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5", "crc32"])
def test_checksums_are_verified(tus: Tus, algorithm: str) -> None:
    path = tus.create(len(BODY))
    if algorithm == "crc32":
        digest = zlib.crc32(BODY).to_bytes(4, "big")
    else:
        digest = hashlib.new(algorithm, BODY).digest()
    right = f"{algorithm} {base64.b64encode(digest).decode()}"
    wrong = f"{algorithm} {base64.b64encode(bytes(len(digest))).decode()}"
    assert tus.patch(path, BODY, offset=0, Upload_Checksum=wrong) == 460
    assert tus.offset(path) == 0
    assert tus.patch(path, BODY, offset=0, Upload_Checksum=right) == 204
    assert tus.offset(path) == len(BODY)


def test_termination_frees_quota_and_disk(tus: Tus) -> None:
    path = tus.create(100_000_000)
    assert tus.patch(path, BODY, offset=0) == 204
    assert tus.request("DELETE", path).status == 204
    assert tus.request("HEAD", path).status == 404
    part = f"{UUID(path.rsplit('/', 1)[-1]).hex}.part"
    assert not (tus.site.folder / "uploads" / part).exists()
    tus.create(100_000_000)


def test_termination_of_a_finished_upload_deletes_the_archive(tus: Tus, storage: Path) -> None:
    path = tus.create(len(BODY))
    tus.patch(path, BODY, offset=0)
    wait_until(lambda: stored(path).archive)
    archive = storage / stored(path).archive
    assert archive.exists()
    assert tus.request("DELETE", path).status == 204
    assert not archive.exists()


def test_an_expired_upload_is_gone(tus: Tus) -> None:
    path = tus.create(100)
    Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    for method in ("HEAD", "PATCH", "DELETE"):
        response = tus.request(
            method, path, Upload_Offset="0", Content_Type="application/offset+octet-stream"
        )
        assert response.status == 410


def test_method_override_for_clients_that_cannot_patch(tus: Tus) -> None:
    path = tus.create(3)
    response = tus.request(
        "POST",
        path,
        body=b"abc",
        X_HTTP_Method_Override="PATCH",
        Upload_Offset="0",
        Content_Type="application/offset+octet-stream",
    )
    assert (response.status, response.headers["Upload-Offset"]) == (204, "3")


def test_what_was_not_submitted_is_listed(tus: Tus) -> None:
    path = tus.create(100)
    tus.patch(path, BODY[:40], offset=0)
    tus.create(7)
    response = tus.request("GET", "/api/v1/uploads", Tus_Resumable="")
    items = json.loads(response.text)["items"]  # type: ignore[attr-defined]
    assert [(one["length_bytes"], one["offset_bytes"]) for one in items] == [(7, 0), (100, 40)]
    assert path.endswith(items[1]["id"])


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_other_methods_get_405_with_allow(tus: Tus, method: str) -> None:
    path = tus.create(3)
    response = tus.request(method, path)
    assert response.status == 405
    assert "PATCH" in response.headers["Allow"]
    assert json.loads(response.text)["code"] == "method-not-allowed"  # type: ignore[attr-defined]


@pytest.mark.parametrize("end", ["fin", "rst"])
def test_a_cut_keeps_every_byte_received(tus: Tus, end: str) -> None:
    path = tus.create(len(BODY))
    with tus.open_patch(path, offset=0, length=len(BODY)) as connection:
        connection.sendall(BODY[:123_457])
        time.sleep(0.3)  # let the server read them: what lies in its kernel dies with RST
        if end == "rst":
            reset(connection)
    wait_until(lambda: tus.offset(path) == 123_457)
    assert tus.patch(path, BODY[123_457:], offset=123_457) == 204
    wait_until(lambda: stored(path).sha256 == SHA256)


def test_a_cut_with_checksum_keeps_nothing_unverified(tus: Tus) -> None:
    path = tus.create(len(BODY))
    with tus.open_patch(path, offset=0, length=len(BODY), Upload_Checksum=CHECKSUM) as connection:
        connection.sendall(BODY[:200_000])
        time.sleep(0.2)
        assert tus.offset(path) == 0  # also while they are being written
    time.sleep(0.2)
    assert tus.offset(path) == 0
    assert tus.patch(path, BODY, offset=0, Upload_Checksum=CHECKSUM) == 204


def test_one_writer_at_a_time(tus: Tus) -> None:
    path = tus.create(len(BODY))
    with tus.open_patch(path, offset=0, length=len(BODY)) as first:
        first.sendall(BODY[:65_536])
        wait_until(lambda: tus.offset(path) == 65_536)
        response = tus.request(
            "PATCH",
            path,
            body=BODY[65_536:],
            Upload_Offset="65536",
            Content_Type="application/offset+octet-stream",
        )
        assert (response.status, json.loads(response.text)["code"]) == (423, "upload-locked")  # type: ignore[attr-defined]
        assert int(response.headers["Retry-After"]) >= 1
        first.sendall(BODY[65_536:])
        assert b" 204 " in first.recv(1000)
    wait_until(lambda: stored(path).sha256 == SHA256)


def test_an_upload_that_is_written_to_cannot_be_deleted(tus: Tus) -> None:
    path = tus.create(len(BODY))
    with tus.open_patch(path, offset=0, length=len(BODY)) as first:
        first.sendall(BODY[:65_536])
        wait_until(lambda: tus.offset(path) == 65_536)
        assert tus.request("DELETE", path).status == 423


def test_racing_patches_never_corrupt(tus: Tus) -> None:
    path = tus.create(len(BODY))
    statuses: list[int] = []

    def send() -> None:
        statuses.append(tus.patch(path, BODY, offset=0))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses.count(204) == 1
    # 503: no more than half of the places for streaming are one person's.
    assert set(statuses) <= {204, 409, 423, 503}
    wait_until(lambda: stored(path).sha256 == SHA256)


def test_a_silent_client_releases_its_thread(tus: Tus) -> None:
    path = tus.create(len(BODY))
    with tus.open_patch(path, offset=0, length=len(BODY)) as connection:
        connection.sendall(BODY[:70_001])
        # UPLOAD_IDLE_S is 2 here: after that the writer gives up and the next one may go on.
        wait_until(lambda: tus.patch(path, BODY[70_001:], offset=70_001) == 204)
    wait_until(lambda: stored(path).sha256 == SHA256)


@contextmanager
def dripping(connections: list[socket.socket]) -> Iterator[None]:
    """Send a byte to each connection every half second, sooner than UPLOAD_IDLE_S would end it."""
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.5):
            for connection in connections:
                with suppress(OSError):  # closed by the server
                    connection.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_slow_anonymous_clients_hold_few_threads(site: LiveSite) -> None:
    head = "POST /api/v1/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\nx"
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", site.port)))
            for _ in range(60)
        ]
        answered = 0
        for connection in connections:
            connection.sendall(head.encode())
        for connection in connections:
            connection.settimeout(0.5)
            with suppress(TimeoutError):
                answered += connection.recv(100).startswith(b"HTTP/1.1 412")
        # Those that the two processes listen to for a while get theirs later.
        assert answered >= 60 - 2 * streams.DRAINS_MAX
        # They drip on while others ask; all threads held would be held for DRAIN_S.
        stack.enter_context(dripping(connections))
        for _ in range(8):
            with urllib.request.urlopen(
                f"{site.url}/healthz", timeout=streams.DRAIN_S / 2
            ) as answer:
                assert answer.status == 200


def test_sigkill_in_the_middle_resumes_after_restart(tus: Tus, site: LiveSite) -> None:
    path = tus.create(len(BODY))
    with tus.open_patch(path, offset=0, length=len(BODY)) as connection:
        connection.sendall(BODY[:200_000])
        wait_until(lambda: tus.offset(path) >= 65_536)
        site.kill()
    site.start()
    kept = tus.offset(path)
    # At most one chunk that the dead process had in memory is to be sent again.
    assert 65_536 <= kept <= 200_000
    assert tus.patch(path, BODY[kept:], offset=kept) == 204
    wait_until(lambda: stored(path).sha256 == SHA256)


def test_sigkill_drops_what_was_not_verified(tus: Tus, site: LiveSite) -> None:
    path = tus.create(len(BODY))
    with tus.open_patch(path, offset=0, length=len(BODY), Upload_Checksum=CHECKSUM) as connection:
        connection.sendall(BODY[:200_000])
        part = site.folder / "uploads" / f"{stored(path).id.hex}.part"
        wait_until(lambda: part.stat().st_size > 0)
        site.kill()
    site.start()
    assert tus.offset(path) == 0
    assert tus.patch(path, BODY, offset=0) == 204
    wait_until(lambda: stored(path).sha256 == SHA256)


def test_memory_stays_flat(tus: Tus, site: LiveSite) -> None:
    assert site.process is not None
    size = 90_000_000
    path = tus.create(size)
    before = memory_bytes(site.process.pid)
    assert tus.patch(path, bytes(size), offset=0) == 204
    assert memory_bytes(site.process.pid) - before < 20_000_000


def memory_bytes(pid: int) -> int:
    """Peak resident memory of a server's workers."""
    total = 0
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        status = Path(f"/proc/{child}/status").read_text()
        total += int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return total
