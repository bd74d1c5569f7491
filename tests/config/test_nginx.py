"""docs/nginx/flair.conf before the site: Debian's nginx with TLS, and what passes through it."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.urls import resolve

from challenge.embedded.data_folder import ROOT
from challenge.models import Upload
from challenge.services.accounts import tokens
from challenge.uploads.form_files import FormFileHandler
from tests.factories import make_user, register
from tests.helpers import wait_until
from tests.live_site import LiveSite, free_port

PROGRAM = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
SAMPLE = ROOT / "docs" / "nginx" / "flair.conf"
MIB = 2**20
ADDRESSES_WITH_FILES = {
    "web:submit": "/challenges/a/b/submit/",
    "web:desk-task": "/challenges/a/desk/task/",
    "web:desk-kit": "/challenges/a/desk/phases/b/kit/",
    "web:challenge-import": "/challenges/import/",
    "web:documents": "/challenges/a/b/documents/",
}

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="no nginx (apt-get install nginx-light)"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("running_servers"),
]


@dataclass
class Front:
    """The sample in front of a site; both run."""

    site: LiveSite
    plain_port: int
    tls_port: int
    tls: ssl.SSLContext

    @property
    def url(self) -> str:
        return f"https://localhost:{self.tls_port}"

    def client(self, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=self.tls, timeout=60, **options)


def make_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def configure(folder: Path, *, site_port: int, plain_port: int, tls_port: int) -> Path:
    """The sample with this machine's ports and certificate, within what Debian has around it."""
    changes = {
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{site_port};",
        "listen 80;": f"listen 127.0.0.1:{plain_port};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{tls_port} ssl http2;",
        "/etc/letsencrypt/live/challenges.example.org": str(folder),
        "challenges.example.org": "localhost",
    }
    text = SAMPLE.read_text(encoding="utf-8")
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    (folder / "flair.conf").write_text(text, encoding="utf-8")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off;\nuser root;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log info;\n"
        "events {}\n"
        f"http {{\naccess_log {folder}/access.log;\n{temporary}include {folder}/flair.conf;\n}}\n"
    )
    return main


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    plain_port, tls_port = free_port(), free_port()
    site = LiveSite(
        tmp_path,
        environment={
            "SITE_URL": f"https://localhost:{tls_port}",
            "BEHIND_PROXY": "1",
            "API_RATE_ADDRESS": "5",
        },
    )
    make_certificate(tmp_path)
    main = configure(tmp_path, site_port=site.port, plain_port=plain_port, tls_port=tls_port)
    log = tmp_path / "error.log"
    with (tmp_path / "nginx.out").open("wb") as out:
        process = subprocess.Popen([str(PROGRAM), "-c", str(main)], stdout=out, stderr=out)
    try:
        site.start()
        tls = ssl.create_default_context(cafile=str(tmp_path / "fullchain.pem"))
        found = Front(site, plain_port, tls_port, tls)

        def answers() -> bool:
            assert process.poll() is None, (tmp_path / "nginx.out").read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", tls_port)) == 0

        wait_until(answers, "nginx", report=log.read_text)
        yield found
    finally:
        site.stop()
        process.terminate()
        process.wait(timeout=20)


def test_pages_api_and_uploads_through_the_sample(front: Front) -> None:
    user = register(make_user())
    _row, token = tokens.create(user=user, name="nginx", scopes=["read", "submit", "organise"])
    with front.client() as client:
        redirected = httpx.get(f"http://127.0.0.1:{front.plain_port}/help/?a=b", timeout=60)
        assert redirected.status_code == 301
        assert redirected.headers["Location"] == "https://127.0.0.1/help/?a=b"

        page = client.get("/accounts/login/")
        assert page.status_code == 200
        assert page.headers["Strict-Transport-Security"]
        assert "Secure" in page.headers["Set-Cookie"]
        assert "nginx/" not in page.headers["Server"]

        # The proxy's id and address count, whatever the client claims.
        claimed = {"X-Request-ID": "claimed-by-the-client", "X-Forwarded-Proto": "http"}
        answer = client.get("/api/v1/challenges", headers=claimed)
        assert answer.status_code == 200
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])
        statuses = [
            client.get(
                "/api/v1/challenges", headers={"X-Forwarded-For": f"192.0.2.{number}"}
            ).status_code
            for number in range(6)
        ]
        assert statuses[-1] == 429

        # A body far above nginx's own limit of 1 MiB.
        headers = {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0"}
        body = bytes(4 * MIB)
        created = client.post(
            "/api/v1/uploads",
            headers=headers
            | {"Upload-Length": str(len(body)), "Content-Type": "application/offset+octet-stream"},
            content=body,
        )
        assert created.status_code == 201
        assert created.headers["Location"].startswith(front.url)
        assert created.headers["Upload-Offset"] == str(len(body))

    front.site.kill()
    with front.client() as client:
        away = client.get("/api/v1/challenges")
    assert (away.status_code, away.headers["Retry-After"]) == (503, "30")


def test_large_bodies_go_where_files_are_taken_and_nowhere_else(front: Front) -> None:
    """And there the site refuses a stranger's itself, before it reads them."""
    body = b"--x\r\n" + bytes(5 * MIB)
    form = {"Content-Type": "multipart/form-data; boundary=x"}

    def status(path: str) -> int:
        with front.client() as client:  # refused bodies end the connection
            answer = client.post(path, content=body, headers=form)
        return 0 if "nginx" in answer.text else answer.status_code

    for path in ("/accounts/login/", "/challenges/a/desk/people/", "/api/v1/submissions"):
        assert status(path) == 0, path
    for path in ADDRESSES_WITH_FILES.values():
        assert status(path) in (302, 403, 404, 413), path
    assert "buffered to a temporary file" not in (front.site.folder / "error.log").read_text()


def test_the_sample_names_the_addresses_that_take_files() -> None:
    found = re.search(r"location ~ (\S+) \{", SAMPLE.read_text(encoding="utf-8"))
    assert found is not None
    assert ADDRESSES_WITH_FILES.keys() == FormFileHandler.views_with_files
    for view, path in ADDRESSES_WITH_FILES.items():
        assert resolve(path).view_name == view
        assert re.search(found[1], path), path


def test_an_upload_that_is_cut_goes_on_where_it_was(front: Front) -> None:
    user = register(make_user())
    _row, token = tokens.create(user=user, name="nginx", scopes=["read", "submit", "organise"])
    headers = {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0"}
    length, sent = 8 * MIB, 3 * MIB
    with front.client(headers=headers) as client:
        created = client.post("/api/v1/uploads", headers={"Upload-Length": str(length)})
        path = created.headers["Location"].removeprefix(front.url)
        upload = Upload.objects.get()
        part = front.site.folder / "uploads" / f"{upload.pk.hex}.part"
        with front.tls.wrap_socket(
            socket.create_connection(("localhost", front.tls_port)), server_hostname="localhost"
        ) as connection:
            lines = [
                f"PATCH {path} HTTP/1.1",
                f"Host: localhost:{front.tls_port}",
                f"Authorization: Bearer {token}",
                "Tus-Resumable: 1.0.0",
                "Upload-Offset: 0",
                "Content-Type: application/offset+octet-stream",
                f"Content-Length: {length}",
            ]
            connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + bytes(sent))
            # It reaches the site while the request still runs: nothing waits in nginx.
            wait_until(lambda: part.stat().st_size >= 2 * MIB, "what was sent")

        def offset() -> int:
            answer = client.head(path)
            return int(answer.headers.get("Upload-Offset", 0)) if answer.status_code == 200 else 0

        wait_until(lambda: offset() >= 2 * MIB, "the offset")
        rest = offset()
        finished = client.patch(
            path,
            headers={
                "Upload-Offset": str(rest),
                "Content-Type": "application/offset+octet-stream",
            },
            content=bytes(length - rest),
        )
        assert finished.status_code == 204
        assert finished.headers["Upload-Offset"] == str(length)
