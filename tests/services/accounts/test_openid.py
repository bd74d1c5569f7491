"""What is asked of an OpenID Connect provider, of one that hangs and of one that is careless."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from challenge.services.accounts import openid


@pytest.fixture
def hanging() -> Iterator[socket.socket]:
    """A provider that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


def test_a_provider_that_hangs_holds_a_few_threads_alone(hanging: socket.socket) -> None:
    issuer = f"http://127.0.0.1:{hanging.getsockname()[1]}"

    def ask() -> None:
        with pytest.raises(openid.ProviderAway):
            openid.describe(issuer)

    threads = [threading.Thread(target=ask) for _ in range(openid.REQUESTS)]
    for thread in threads:
        thread.start()
    accepted = [hanging.accept()[0] for _ in threads]
    with pytest.raises(openid.ProviderAway, match="wait for the provider already"):
        openid.describe(issuer)
    for connection in accepted:
        connection.close()
    for thread in threads:
        thread.join()
    hanging.close()
    with pytest.raises(openid.ProviderAway, match="refused"):  # asked again: all are free
        openid.describe(issuer)


def test_user_information_is_asked_for_by_https_alone() -> None:
    class Careless(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            own = f"http://127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
            said = {name: f"{own}/{name}" for name in openid.ENDPOINTS}
            said |= {"issuer": own, "userinfo_endpoint": "http://login.example/me"}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Careless) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(openid.ProviderInvalid, match=r"userinfo_endpoint.*https is needed"):
            openid.describe(f"http://127.0.0.1:{server.server_port}")
        thread.join()
