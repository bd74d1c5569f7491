"""The first ``docker compose up``: each service's own command, as its container would run it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from challenge.embedded.data_folder import ROOT
from tests import compose
from tests.config import containers
from tests.config.containers import Host
from tests.config.test_compose import make_secrets
from tests.config.test_nginx import make_certificate
from tests.live_site import collect_static_files
from tests.services.backup.sites import empty_database

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(bool(containers.why_impossible()), reason=containers.why_impossible()),
]
LASTING = ("web", "worker", "labels", "housekeeping", "beat", "gpu-worker")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host with the secrets that docs/operating.md makes, before its first start."""
    make_secrets(tmp_path)
    folder = Path(str(connection.settings_dict["HOST"]))
    sockets = folder if folder.is_absolute() else None
    with empty_database("first_up") as url:
        (tmp_path / "secrets" / "database_url").write_text(url)
        with Host(tmp_path, compose.services(), sockets) as made:
            yield made


def test_every_service_starts_as_its_user_with_a_read_only_root(host: Host, tmp_path: Path) -> None:
    """From an empty database to pages over TLS, and each health check of the file says yes."""
    static = tmp_path / "static"
    collect_static_files(static)
    certificates = tmp_path / "volumes" / "certificates"
    certificates.mkdir(parents=True)
    make_certificate(certificates)
    for server in ("broker", "cache"):
        host.start(server, "--bind", containers.ADDRESSES[server])
        host.wait_until_healthy(server)
    migrate = host.start("migrate")
    assert migrate.popen.wait(containers.PATIENCE_S) == 0, migrate.tail(40)
    host.processes.processes.remove(migrate)
    for name in LASTING:
        host.start(name, volumes={"/srv/static": static})
    for name in LASTING:
        host.wait_until_healthy(name)
        identity = host.run(name, ["id", "-u"])
        assert identity.stdout == "10001\n", identity.stderr
        for path in ("/made", "/app/made", "/srv/made", "/usr/made", "/run/secrets/made"):
            assert host.run(name, ["touch", path]).returncode != 0, (name, path)
    _writes_stay_in_volumes(host)

    assert "ERROR" not in host.started["web"].log.read_text()

    configuration = tmp_path / "nginx.conf"
    text = (ROOT / "docs/nginx/compose.conf").read_text(encoding="utf-8")
    assert "set $site web:8000;" in text  # nginx asks Docker's name server, which is not here
    address = f"set $site {containers.ADDRESSES['web']}:8000;"
    configuration.write_text(text.replace("set $site web:8000;", address))
    source = {"/etc/nginx/flair/nginx.conf": configuration}
    host.start("proxy", volumes=source)
    host.wait_until_healthy("proxy")
    page = ["curl", "--silent", "--insecure", "--fail", "--resolve"]
    page += ["challenges.example:8443:127.0.0.1", "https://challenges.example:8443/"]
    shown = host.run("proxy", page)
    assert "<main" in shown.stdout, shown.stderr + host.started["web"].tail()

    organiser = host.start("organiser", instead=("upgrade_plan",))
    assert organiser.popen.wait(containers.PATIENCE_S) == 0, organiser.tail()
    host.processes.processes.remove(organiser)
    assert "the database has" in organiser.tail(60)


def _writes_stay_in_volumes(host: Host) -> None:
    """Each service may write where the file says so, and nowhere else."""
    for name in LASTING:
        for volume in host.services[name].get("volumes", []):
            path = f"{volume['target']}/made-by-{name}"
            done = host.run(name, ["touch", path])
            assert (done.returncode == 0) == (not volume.get("read_only")), (path, done.stderr)


def test_what_the_file_says_of_the_proxy_holds_for_debian_s(tmp_path: Path) -> None:
    """compose.conf is flair.conf from the certificate on."""

    def proxied(name: str, before: str) -> list[str]:
        text = (ROOT / "docs/nginx" / name).read_text(encoding="utf-8").replace("$site", "flair")
        lines = [line.strip() for line in text.partition(before)[2].splitlines()]
        return [line for line in lines if line and line != "}"]

    assert proxied("compose.conf", "privkey.pem;") == proxied("flair.conf", "privkey.pem;")


def test_a_killed_worker_s_download_is_removed(tmp_path: Path) -> None:
    """In a process of its own, whose folder for temporary files is the volume's."""
    old, new = tmp_path / "archive-old", tmp_path / "archive-new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "archive.zip").write_bytes(b"PK")
    script = (
        "import os, json; os.utime(os.environ['TMPDIR'] + '/archive-old', (0, 0))\n"
        "import django; django.setup()\n"
        "from challenge.services.storage import scratch; print(json.dumps(scratch.sweep()))"
    )
    done = subprocess.run(
        ["python", "-c", script],
        cwd=ROOT,
        env=containers.IMAGE
        | {"TMPDIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "challenge.config.settings"}
        | {"FLAIR_DATA_DIR": str(tmp_path / "data"), "STATIC_MANIFEST": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == 1
    assert [old.exists(), new.exists()] == [False, True]
