"""The site that the pages' benchmarks measure: engines of their own, many teams, a real server.

Everything lies in ``.data/bench``; a database or broker that the environment names is never
touched. Import this module before Django: it says where the data folder is.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from challenge import embedded
from challenge.embedded.data_folder import ROOT
from tests.live_site import COMMAND, free_port

FOLDER = ROOT / ".data" / "bench"
SEED_FILES = ("tests/bench/population.py", "tests/web/seed.py", "challenges/flair-1/challenge.toml")
START_S = 60.0
SESSION_COOKIE = "sessionid"


@dataclass(frozen=True)
class World:
    """A seeded site: its server's address, a signed-in person and what they look at."""

    url: str
    cookie: str
    submission: str

    @property
    def addresses(self) -> dict[str, str]:
        """The pages that people open most, by name."""
        return {
            "home": "/",
            "challenge": "/challenges/flair-1/",
            "data": "/challenges/flair-1/data",
            "leaderboard": "/challenges/flair-1/test/leaderboard/",
            "submission": self.submission,
        }


@contextmanager
def opened(*, teams: int, submissions: int) -> Iterator[World]:
    """Start the engines, seed them unless they are, serve as in production; stop all after."""

    def fill() -> None:
        from tests.bench import population

        started = time.monotonic()
        population.populate(teams=teams, submissions=submissions)
        print(f"seeded {teams} teams, {submissions} submissions", end=" ")
        print(f"in {time.monotonic() - started:.0f} s", flush=True)

    with served(FOLDER, wanted=f"{teams} {submissions} {_digest()}", fill=fill) as url:
        yield _look(url)


@contextmanager
def served(folder: Path, *, wanted: str, fill: Callable[[], None]) -> Iterator[str]:
    """Serve a site whose engines and data lie in ``folder``; yields its address.

    ``fill`` is called unless the data are those that ``wanted`` names.
    """
    port = free_port()
    _prepare_environment(folder, port)
    with embedded.connect(embedded.DataFolder(embedded.default_folder()), quick=True):
        import django

        django.setup()
        _migrate(folder)
        mark = folder / "seeded"
        if not mark.exists() or mark.read_text() != wanted:
            mark.unlink(missing_ok=True)
            fill()
            mark.write_text(wanted)
        with _served(folder, port):
            yield f"http://127.0.0.1:{port}"


def _prepare_environment(folder: Path, port: int) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DEBUG", "STATIC_DIR", "LABELS_DIR"):
        os.environ.pop(name, None)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "challenge.config.settings",
        "FLAIR_DATA_DIR": str(folder),
        "STORAGE_URL": f"file://{folder / 'storage'}",
        "SITE_URL": f"http://127.0.0.1:{port}",
        "BIND": f"127.0.0.1:{port}",
        "STATIC_MANIFEST": "1",
        "EMAIL_URL": "memory://",
        "SECOND_FACTOR_REQUIRED": "0",
        "API_RATE_ADDRESS": "1000000",
        "LOG_LEVEL": "WARNING",
    }


def _digest() -> str:
    """Changes with what is seeded, and with the tables it is seeded into."""
    digest = hashlib.sha256()
    migrations = sorted((ROOT / "challenge" / "migrations").glob("*.py"))
    for path in (*(ROOT / name for name in SEED_FILES), *migrations):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _migrate(folder: Path) -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    shutil.rmtree(folder / "static", ignore_errors=True)
    call_command("collectstatic", interactive=False, verbosity=0)


@contextmanager
def _served(folder: Path, port: int) -> Iterator[None]:
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            COMMAND, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/healthz", log)
        yield
    finally:
        with suppress(ProcessLookupError):  # it ended by itself
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        if process.poll() is not None:
            sys.exit(f"the server ended:\n{log.read_text()[-3000:]}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError as error:  # URLError is one
            if time.monotonic() > deadline:
                sys.exit(f"no answer from {url}: {error}\n{log.read_text()[-3000:]}")
        time.sleep(0.05)


def _look(url: str) -> World:
    from django.test import Client
    from django.urls import reverse

    from challenge.models import RankLine, User

    ada = User.objects.get(username="ada")
    line = RankLine.objects.get(entry__team__memberships__user=ada, rank__isnull=False)
    client = Client()
    client.force_login(ada, backend="django.contrib.auth.backends.ModelBackend")
    return World(
        url=url,
        cookie=f"{SESSION_COOKIE}={client.cookies[SESSION_COOKIE].value}",
        submission=reverse("web:submission", args=[line.submission_id]),
    )
