"""A real server process on the test database: gunicorn as in production, on a port of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from challenge.embedded.data_folder import ROOT

START_S = 120.0
COMMAND = (
    sys.executable,
    "-m",
    "gunicorn",
    "--config",
    "python:challenge.config.gunicorn",
    "challenge.config.wsgi",
)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def database_url() -> str:
    """The test database's address, as DATABASE_URL spells it."""
    from django.db import connection

    found = connection.settings_dict
    login = quote(found["USER"], safe="")
    if found["PASSWORD"]:
        login += ":" + quote(found["PASSWORD"], safe="")
    if str(found["HOST"]).startswith("/"):
        options = urlencode({"host": found["HOST"]})
        return f"postgresql://{login}@/{found['NAME']}?{options}"
    port = f":{found['PORT']}" if found["PORT"] else ""
    return f"postgresql://{login}@{found['HOST']}{port}/{found['NAME']}"


def collect_static_files(folder: Path) -> dict[str, str]:
    """Collect the static files under hashed names; returns the settings that serve them."""
    environment = {"STATIC_MANIFEST": "1", "STATIC_DIR": str(folder)}
    subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0"],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
    )
    return environment


@dataclass
class LiveSite:
    """One server that tests may kill and start again at the same address."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> None:
        """Start and wait until it answers."""
        from django.conf import settings

        environment = os.environ | {
            "SECOND_FACTOR_REQUIRED": "0",  # people of tests have a password alone
            "DATABASE_URL": database_url(),
            "REDIS_URL": settings.REDIS_URL,
            "BIND": f"127.0.0.1:{self.port}",
            "SITE_URL": self.url,
            "STORAGE_URL": f"file://{self.folder / 'storage'}",
            "UPLOADS_DIR": str(self.folder / "uploads"),
            "WEB_WORKERS": "1",
            "API_RATE_ADDRESS": "1000000",
            "API_RATE_UPLOAD": "1000000",
            "API_RATE_TOKEN": "1000000",
            "API_RATE_WRONG_TOKEN": "1000000",
            "UPLOAD_RESERVE": "0",
            **self.environment,
        }
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*self.prefix, *COMMAND],
                cwd=ROOT,
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: {self.log.read_text()[-3000:]}")
            try:
                with urllib.request.urlopen(f"{self.url}/healthz", timeout=120):
                    return
            except (urllib.error.URLError, OSError) as error:
                if time.monotonic() > deadline:
                    tail = self.log.read_text()[-3000:]
                    raise RuntimeError(f"no answer from {self.url}: {error}\n{tail}") from error
            time.sleep(0.05)

    def running(self) -> LiveSite:
        """This server, started unless it runs."""
        if self.process is None:
            self.start()
        return self

    def kill(self) -> None:
        """SIGKILL, master and workers, as a machine that loses its power would."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """A polite end."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        if self.process is None:
            return
        with suppress(ProcessLookupError):  # it ended by itself
            os.killpg(self.process.pid, number)
        self.process.wait(timeout=30)
        self.process = None
