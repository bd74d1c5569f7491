"""The embedded engines: real servers, really killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from challenge.config import engines
from challenge.config.engines import places
from challenge.config.engines.places import NOBODY, ROOT, Place
from challenge.config.engines.servers import AS_NOBODY, IN_OWN_NAMESPACE

PATIENCE_S = 20.0


@pytest.fixture
def place() -> Iterator[Place]:
    """A data folder with a short name, so that its sockets lie inside."""
    folder = Path(tempfile.mkdtemp(prefix="flair-", dir="/tmp"))
    yield Place(folder / "engines")
    stop_keeper(Place(folder / "engines"))
    shutil.rmtree(folder)


def hold(place: Place) -> engines.Held:
    """Quick ones, that end soon after their last holder."""
    return engines.hold(place, quick=True, grace_s=0.3)


def stop_keeper(place: Place) -> None:
    pid = keeper_pid(place)
    if pid is not None and alive(pid):
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid), "the keeper leaves")


def keeper_pid(place: Place) -> int | None:
    if not place.lock.exists():
        return None
    return int(place.lock.read_text() or 0) or None


def alive(pid: int) -> bool:
    """Neither gone nor a zombie that waits for its parent."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.05)


def server_pid(place: Place, program: str) -> int:
    """The main process of ``postgres`` or ``valkey-server``, by the folder in its command."""
    if program == "postgres":
        return int((place.postgres_data / "postmaster.pid").read_text().split("\n")[0])
    with redis.Redis.from_url(place.redis_url) as client:
        return int(client.info("server")["process_id"])


def remember(place: Place) -> None:
    with psycopg.connect(place.database_url) as connection:
        connection.execute("SET synchronous_commit = on")  # the quick servers' default is off
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('still here')")


def remembered(place: Place) -> str:
    with psycopg.connect(place.database_url) as connection:
        row = connection.execute("SELECT word FROM kept").fetchone()
    assert row is not None
    return str(row[0])


def ping(place: Place) -> bool:
    with redis.Redis.from_url(place.redis_url) as client:
        return bool(client.ping())


def test_it_works(place: Place) -> None:
    with hold(place):
        with psycopg.connect(place.database_url) as connection:
            version = connection.info.server_version // 10_000
            collation = connection.execute(
                "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'flair'"
            ).fetchone()

        assert version == 18
        assert collation == ("b", "C.UTF-8")
        assert ping(place)


def test_everything_ends_after_the_last_holder(place: Place) -> None:
    first, second = hold(place), hold(place)
    pids = [first.keeper_pid, server_pid(place, "postgres"), server_pid(place, "valkey-server")]

    assert first.keeper_pid == second.keeper_pid
    first.release()
    time.sleep(1)
    assert all(alive(pid) for pid in pids)
    second.release()
    wait_until(lambda: not any(alive(pid) for pid in pids), "all three are gone")
    assert not place.keeper_socket.exists()


@pytest.mark.parametrize("program", ["postgres", "valkey-server"])
def test_a_killed_server_comes_back_while_it_is_held(place: Place, program: str) -> None:
    with hold(place):
        remember(place)
        killed = server_pid(place, program)
        os.kill(killed, signal.SIGKILL)

        def back() -> bool:
            try:
                return server_pid(place, program) != killed and ping(place)
            except (OSError, redis.RedisError, ValueError):
                return False

        wait_until(back, f"{program} is back")
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                assert remembered(place) == "still here"
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.1)


def test_a_killed_keeper_takes_its_servers_along_and_the_next_start_works(place: Place) -> None:
    held = hold(place)
    remember(place)
    servers = [server_pid(place, "postgres"), server_pid(place, "valkey-server")]
    os.kill(held.keeper_pid, signal.SIGKILL)

    with hold(place) as again:
        assert again.keeper_pid != held.keeper_pid
        assert remembered(place) == "still here"
        assert ping(place)
        assert not any(alive(pid) for pid in servers)
    held.release()


def test_everything_killed_at_once_does_not_prevent_the_next_start(place: Place) -> None:
    held = hold(place)
    remember(place)
    for pid in (
        held.keeper_pid,
        server_pid(place, "valkey-server"),
        server_pid(place, "postgres"),
    ):
        os.kill(pid, signal.SIGKILL)

    with hold(place):
        assert remembered(place) == "still here"
        assert ping(place)
    held.release()


def test_a_killed_holder_counts_as_gone(place: Place) -> None:
    words = (
        "import sys, time; from pathlib import Path; from challenge.config import engines;"
        "held = engines.hold(engines.Place(Path(sys.argv[1]))); print(held.keeper_pid, flush=True);"
        "time.sleep(600)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", words, str(place.folder)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    with holder.stdout:
        keeper = int(holder.stdout.readline())
        holder.kill()
        holder.wait()

    wait_until(lambda: not alive(keeper), "the keeper leaves")


def test_an_interrupted_initdb_is_begun_anew(place: Place) -> None:
    place.prepare()
    half = place.folder / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")

    with hold(place):
        assert ping(place)
    assert not half.exists()


def test_a_pid_file_that_names_another_program_is_forgotten(place: Place) -> None:
    with hold(place):
        remember(place)
    wait_until(lambda: not place.keeper_socket.exists(), "the servers stop")
    wait_until(lambda: not alive(keeper_pid(place) or 0), "the keeper leaves")
    pid_file = place.postgres_data / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{place.postgres_data}\n1\n5432\n{place.sockets}\n\n0 0\n")

    with hold(place):
        assert remembered(place) == "still here"


def test_two_checkouts_run_side_by_side(place: Place) -> None:
    other = Place(place.folder.parent / "other")
    with hold(place), hold(other):
        remember(place)
        with psycopg.connect(other.database_url) as connection:
            tables = connection.execute("SELECT to_regclass('kept')").fetchone()
        assert tables == (None,)
    stop_keeper(other)


def test_a_long_folder_name_gets_short_sockets() -> None:
    long = Place(Path("/tmp") / ("x" * 120))

    assert len(str(long.sockets / ".s.PGSQL.5432.lock")) <= 107
    assert long.sockets != Place(Path("/tmp") / ("y" * 120)).sockets


def test_a_folder_with_spaces_and_accents_works(place: Place) -> None:
    odd = Place(place.folder.parent / "été à l'IGN")
    with hold(odd):
        remember(odd)
        assert ping(odd)
    stop_keeper(odd)


def test_what_is_wrong_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PG_BIN", "/nowhere")

    with pytest.raises(engines.EnginesError, match="no PostgreSQL programs in /nowhere"):
        hold(place)


def test_another_versions_folder_is_refused_with_its_name(place: Place) -> None:
    with hold(place):
        pass
    stop_keeper(place)
    (place.postgres_data / "PG_VERSION").write_text("9\n")

    with pytest.raises(engines.EnginesError, match="was made by PostgreSQL 9"):
        hold(place)


def test_somebody_elses_folder_is_refused(place: Place) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make a folder of somebody else's")
    place.folder.mkdir()
    os.chown(place.folder, 4321, 4321)

    with pytest.raises(engines.EnginesError, match="belongs to user 4321"):
        hold(place)


def test_an_ordinary_user_needs_nothing_special(place: Place) -> None:
    """As nobody where the suite runs as root; else every other test shows it already."""
    if os.getuid() != 0:
        pytest.skip("this run is an ordinary user's")
    home = place.folder.parent
    home.chmod(0o755)
    own = home / "nobody"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    python = readable_python(home)
    site = Path(psycopg.__file__).parents[1]
    words = (
        "import json, os, sys; from pathlib import Path; from challenge.config import engines;"
        "held = engines.hold(engines.Place(Path(sys.argv[1])));"
        "import psycopg; c = psycopg.connect(held.place.database_url);"
        "print(json.dumps([os.getuid(), c.info.server_version // 10000])); c.close()"
    )
    ran = subprocess.run(
        [*AS_NOBODY, *python, "-c", words, str(own / "engines")],
        cwd=home,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{site}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [NOBODY, 18]
    stop_keeper(Place(own / "engines"))


def readable_python(home: Path) -> list[str]:
    """An interpreter that nobody may run: ours may lie in root's home."""
    for candidate in (Path(sys.executable).resolve(), Path("/usr/bin/python3.11")):
        # It must run another of its kind, as it does to start the keeper.
        words = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
        tried = subprocess.run(
            [*AS_NOBODY, str(candidate), "-c", words], cwd=home, check=False, capture_output=True
        )
        if tried.returncode == 0:
            return [str(candidate)]
    pytest.skip("no Python 3.11 that an ordinary user may run lies outside of root's home")


def test_root_where_user_namespaces_are_forbidden(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that nobody made stays nobody's: the same road as without namespaces."""
    if os.getuid() != 0:
        pytest.skip("only root has to become somebody else")
    place.folder.parent.chmod(0o755)
    tools = place.folder.parent / "tools"
    tools.mkdir()
    refuse = tools / IN_OWN_NAMESPACE[0]
    refuse.write_text("#!/bin/sh\nexit 1\n")
    refuse.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    postgres = [*AS_NOBODY, str(places.postgres_programs() / "postgres"), "--version"]
    if subprocess.run(postgres, check=False, capture_output=True).returncode != 0:
        # A checkout in root's own home is closed to nobody: said, not worked around.
        with pytest.raises(engines.EnginesError, match="initdb ended with code"):
            hold(place)
        return
    with hold(place):
        remember(place)

    assert place.postgres_data.stat().st_uid == NOBODY
    monkeypatch.undo()
    stop_keeper(place)
    with hold(place):
        assert remembered(place) == "still here"


def test_programs_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALKEY_BIN", "/opt/valkey/valkey-server")

    assert places.valkey_program() == Path("/opt/valkey/valkey-server")
