"""A server, a person with a token, and raw requests to cut in the middle."""

from __future__ import annotations

import http.client
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from challenge.models import User
from challenge.services.accounts import tokens
from tests import factories
from tests.live_site import LiveSite
from tests.s3_server import s3, s3_process

__all__ = ["s3", "s3_process"]


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[LiveSite]:
    site = LiveSite(
        tmp_path_factory.mktemp("live-uploads"),
        environment={"UPLOAD_IDLE_S": "2", "UPLOAD_LIMIT": "100MB", "UPLOAD_USER": "150MB"},
    )
    yield site
    site.stop()


@pytest.fixture
def site(_server: LiveSite, transactional_db: None) -> LiveSite:
    """The running server; it starts with the first test that asks."""
    return _server.running()


@pytest.fixture
def person(transactional_db: None) -> User:
    return factories.register(User.objects.create_user("ada", "ada@example.org", "secret"))


@pytest.fixture
def token(person: User) -> str:
    _row, plain = tokens.create(user=person, name="test", scopes=["read", "submit"])
    return plain


@dataclass
class Tus:
    """Raw tus requests, so that a test can say exactly what is sent and where it breaks."""

    site: LiveSite
    token: str

    def headers(self, **more: str) -> dict[str, str]:
        found = {"Authorization": f"Bearer {self.token}", "Tus-Resumable": "1.0.0"}
        found |= {name.replace("_", "-"): value for name, value in more.items()}
        return found

    def request(
        self, method: str, path: str, *, body: bytes | None = None, **headers: str
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.site.port, timeout=120)
        connection.request(method, path, body=body, headers=self.headers(**headers))
        response = connection.getresponse()
        response.text = response.read()  # type: ignore[attr-defined]
        connection.close()
        return response

    def create(self, length: int, **headers: str) -> str:
        """Declare an upload and return its path."""
        response = self.request("POST", "/api/v1/uploads", Upload_Length=str(length), **headers)
        assert response.status == 201, response.text  # type: ignore[attr-defined]
        return str(response.headers["Location"]).removeprefix(self.site.url)

    def patch(self, path: str, body: bytes, *, offset: int, **headers: str) -> int:
        response = self.request(
            "PATCH",
            path,
            body=body,
            Upload_Offset=str(offset),
            Content_Type="application/offset+octet-stream",
            **headers,
        )
        return response.status

    def offset(self, path: str) -> int:
        response = self.request("HEAD", path)
        assert response.status == 200
        return int(response.headers["Upload-Offset"])

    def open_patch(self, path: str, *, offset: int, length: int, **headers: str) -> socket.socket:
        """Send a PATCH's head and hand out the socket: the body is the test's to send."""
        found = self.headers(
            Upload_Offset=str(offset),
            Content_Type="application/offset+octet-stream",
            Content_Length=str(length),
            Host=f"127.0.0.1:{self.site.port}",
            **headers,
        )
        head = f"PATCH {path} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in found.items())
        connection = socket.create_connection(("127.0.0.1", self.site.port), timeout=120)
        connection.sendall(head.encode() + b"\r\n")
        return connection


def reset(connection: socket.socket) -> None:
    """Close with RST, as a network that breaks does, not with a polite FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.fixture
def tus(site: LiveSite, token: str) -> Tus:
    return Tus(site, token)


@pytest.fixture
def storage(site: LiveSite) -> Path:
    """The server's storage folder."""
    return site.folder / "storage"
