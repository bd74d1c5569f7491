"""Web, worker and commands through a real pgbouncer in transaction mode."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from django.db import connection

from challenge.embedded.data_folder import ROOT
from challenge.models import Evaluation
from tests import tcp_proxy
from tests.factories import make_archive, make_team, submit
from tests.helpers import wait_until
from tests.live_site import LiveSite, database_url, free_port
from tests.workers.real import Worker, make_real_phase, make_zip

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="no pgbouncer (apt-get install pgbouncer)"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("running_servers"),
]

THREADS = 8
PATCHES = 4
# Each query of the list, and the delivery's lock and its release, may be on another connection.
SCRIPT = """
from challenge.models import Evaluation
from challenge.services.notifications import webhooks
webhooks.deliver()
webhooks.deliver()
print(len([row.pk for row in Evaluation.objects.iterator(chunk_size=1)]))
"""


@pytest.fixture
def pooler(tmp_path: Path) -> Iterator[str]:
    """The test database's address through a pooler that uses its connections in turn."""
    proxy, url = tcp_proxy.before(database_url())
    parts, port = urlsplit(url), free_port()
    tmp_path.chmod(0o755)
    (tmp_path / "users").write_text(f'"{parts.username}" "{parts.password or ""}"\n')
    configuration = tmp_path / "pgbouncer.ini"
    configuration.write_text(
        "[databases]\n"
        f"* = host=127.0.0.1 port={proxy.port}\n"
        "[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {tmp_path / 'users'}\n"
        "pool_mode = transaction\ndefault_pool_size = 3\nmin_pool_size = 3\n"
        "server_round_robin = 1\nignore_startup_parameters = extra_float_digits\n"
    )
    # It does not run as root.
    user = ("--user", "nobody") if os.geteuid() == 0 else ()
    with (tmp_path / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(
            [str(PROGRAM), *user, str(configuration)], stdout=log, stderr=subprocess.STDOUT
        )
    through = f"postgresql://{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}{parts.path}"

    def answers() -> bool:
        try:
            with psycopg.connect(through):
                return True
        except psycopg.OperationalError:
            return False

    report = (tmp_path / "pgbouncer.log").read_text
    wait_until(answers, "the pooler", report=report)
    yield through
    process.terminate()
    process.wait()
    proxy.close()


def session_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        return int(cursor.fetchone()[0])


def test_the_platform_runs_through_a_pooler_in_transaction_mode(
    pooler: str, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": pooler, "DATABASE_POOLER": "1"}

    class PooledWorker(Worker):
        def environment(self) -> dict[str, str]:
            return super().environment() | settings

    worker = PooledWorker(tmp_path / "labels")
    phase = make_real_phase(worker.labels, patches=PATCHES)
    archive = make_zip(patches=PATCHES)
    for _ in range(3):
        team = make_team(phase.challenge)
        submit(team, phase, archive=make_archive(archive), at=phase.opens_at)
    site = LiveSite(tmp_path, environment=settings)
    worker.start()
    try:
        site.start()
        path = (
            f"{site.url}/api/v1/challenges/{phase.challenge.slug}/phases/{phase.slug}/leaderboard"
        )
        with ThreadPoolExecutor(THREADS) as threads:
            answers = list(
                threads.map(lambda _n: httpx.get(path, timeout=60).status_code, range(5 * THREADS))
            )
        assert set(answers) == {200}
        worker.wait_until(
            lambda: Evaluation.objects.filter(state="scored").count() == 3, "three scores"
        )
        ran = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "--command", SCRIPT],
            cwd=ROOT,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stdout.strip()) == (0, "3"), ran.stderr
        assert session_locks() == 0
    finally:
        site.stop()
        worker.stop()
