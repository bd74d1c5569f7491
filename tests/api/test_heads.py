"""HEAD like GET without the body; gzip for who takes it and has no session; right tags."""

from __future__ import annotations

import gzip
import http.client
import json

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections
from django.http.response import HttpResponseBase
from django.test import Client

from tests.api.conftest import Caller, World, build_world, caller
from tests.live_site import LiveSite
from tests.permissions.world import ROLES, address, make_world, routes, visitor

pytestmark = pytest.mark.usefixtures("running_servers")
PATCHES = "/challenges/abc/phases/test/patches"
# What a GET of now and a GET of a moment later may differ in.
PASSING = {"date", "content-length", "etag", "set-cookie", "x-request-id"}


def close_files(response: HttpResponseBase) -> None:
    """A download is a file that is open; Django's test client leaves the closing to its caller.

    The end of a request would close the connection of the test's transaction too.
    """
    request_finished.disconnect(close_old_connections)
    try:
        response.close()
    finally:
        request_finished.connect(close_old_connections)


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_head_is_possible_wherever_get_is(role: str) -> None:
    world = make_world()
    person = visitor(role, world)
    wrong, asked = [], 0
    for method, route in routes():
        if method != "GET" or not route.startswith("api/v1/") or route.endswith("<upload_id>"):
            continue
        url = address(route, world)
        got, head = person.ask("GET", url), person.ask("HEAD", url)
        asked += 1
        close_files(got)
        if got.status_code >= 500 or head.status_code != got.status_code or b"".join(head):
            wrong.append(f"{route}: GET {got.status_code}, HEAD {head.status_code}")
        kept = {name.lower(): value for name, value in got.headers.items()}
        told = {name.lower(): value for name, value in head.headers.items()}
        differing = {k for k in kept if k not in PASSING and told.get(k) != kept[k]}
        if differing:
            wrong.append(f"{route}: {differing}")
    assert not wrong, "\n".join(wrong)
    assert asked > 25


def test_head_returns_the_length_and_the_etag(reader: Caller, world: World) -> None:
    got, head = reader.get(PATCHES), reader.call("HEAD", PATCHES)
    assert (head.content, head.headers["ETag"]) == (b"", got.headers["ETag"])
    assert int(head.headers["Content-Length"]) == len(got.content) > 0
    again = reader.call("HEAD", PATCHES, **{"if-none-match": head.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_head_of_what_is_only_posted_to_is_405(ada: Caller) -> None:
    answer = ada.call("HEAD", "/invitations/accept")
    assert (answer.status_code, answer.content) == (405, b"")
    assert answer.headers["Allow"] == "POST"
    answer = ada.call("PUT", PATCHES)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD"


def test_head_leaves_no_byte_on_a_kept_connection(site: LiveSite) -> None:
    """Bytes after a HEAD's headers would be read as the next answer."""
    build_world()
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=120)
    for method, length in [("HEAD", 0), ("GET", 1), ("HEAD", 0), ("GET", 1)]:
        connection.request(method, f"/api/v1{PATCHES}")
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200
        assert bool(body) == bool(length)
    connection.close()


def test_large_answers_go_out_as_gzip(reader: Caller) -> None:
    plain = reader.get("/problems")
    small = reader.get("/problems", **{"accept-encoding": "br;q=1, gzip;q=0.8"})
    assert "Content-Encoding" not in plain.headers
    assert small.headers["Content-Encoding"] == "gzip"
    assert int(small.headers["Content-Length"]) == len(small.content) < len(plain.content) / 2
    assert json.loads(gzip.decompress(small.content)) == plain.json()
    assert "Accept-Encoding" in plain.headers["Vary"]
    assert "Accept-Encoding" in small.headers["Vary"]


def test_the_etag_of_a_compressed_response_is_weak_and_still_matches(reader: Caller) -> None:
    plain = reader.get("/problems").headers["ETag"]
    weak = reader.get("/problems", **{"accept-encoding": "gzip"}).headers["ETag"]
    assert weak == f"W/{plain}"
    for tag in (plain, weak):
        for encoding in ("gzip", "identity"):
            again = reader.get("/problems", **{"if-none-match": tag, "accept-encoding": encoding})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["ETag"] == (weak if encoding == "gzip" else plain)


@pytest.mark.parametrize("header", ["", "identity", "gzip;q=0", "gzip;q=0, *", "deflate, br"])
def test_who_does_not_take_gzip_gets_none(reader: Caller, header: str) -> None:
    answer = reader.get("/problems", **{"accept-encoding": header})
    assert "Content-Encoding" not in answer.headers


def test_nothing_is_compressed_for_a_session(world: World) -> None:
    """A stranger's page can have a browser send its cookie, and watch the answer's length."""
    browser = Client()
    browser.force_login(world.captain)
    headers = {"accept-encoding": "gzip"}
    assert "Content-Encoding" not in browser.get("/api/v1/problems", headers=headers).headers
    with_token = caller(world.captain).get("/problems", **headers)
    assert with_token.headers["Content-Encoding"] == "gzip"


def test_what_is_small_or_no_text_stays_as_it_is(reader: Caller, ada: Caller, world: World) -> None:
    headers = {"accept-encoding": "gzip"}
    assert "Content-Encoding" not in reader.get("/receipts/key", **headers).headers
    archive = ada.get(f"/submissions/{world.scored.id}/archive", **headers)
    assert "Content-Encoding" not in archive.headers
    assert "W/" not in archive.headers.get("ETag", "")
