"""The two servers as child processes: how each is started, known to be ready, and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import psycopg

from challenge.config.engines import places
from challenge.config.engines.places import NOBODY, Place

SHIM = Path(__file__).with_name("shim.py")
START_S = 30.0
STOP_S = 10.0
FIRST_WITH_BUILTIN_LOCALE = 17
IN_OWN_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")

# What PostgreSQL says while an earlier server of the same folder is still dying.
STILL_DYING = (b'lock file "postmaster.pid"', b"shared memory block", b"lock file")

QUICK_SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")
SETTINGS = (
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=100",
    "shared_buffers=64MB",
    "max_wal_size=256MB",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_line_prefix=%m postgres ",
)


class ServerFailed(Exception):
    """A server did not start; the message ends with its own last words."""


def clean_environment() -> dict[str, str]:
    """What a server gets to see: no PG* variable of the user's, no secret, one language."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def spawn(
    command: list[str], *, prefix: tuple[str, ...], death_signal: int, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a server that the kernel ends when this process goes, however it goes."""
    shim = [sys.executable, "-I", "-S", str(SHIM), str(int(death_signal)), str(os.getpid())]
    return subprocess.Popen(
        [*prefix, *shim, *command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=clean_environment(),
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes], *signals: signal.Signals) -> None:
    """Ask ever less politely, and finally kill."""
    for number in (*signals, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            continue


class Valkey:
    """The broker and cache: a socket, no TCP port, nothing kept on disk."""

    name = "valkey"

    def __init__(self, place: Place) -> None:
        self.place = place
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, log: IO[bytes]) -> None:
        settings = {
            "port": "0",
            "unixsocket": str(self.place.valkey_socket),
            "unixsocketperm": "700",
            "dir": str(self.place.folder),
            "save": "",
            "appendonly": "no",
            "maxmemory": "256mb",
            "maxmemory-policy": "noeviction",
        }
        command = [str(places.valkey_program())]
        for key, value in settings.items():
            command += [f"--{key}", value]
        self.process = spawn(command, prefix=(), death_signal=signal.SIGTERM, log=log)

    def wait(self) -> None:
        """Until it answers a PING."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                raise ServerFailed("valkey ended while starting")
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(1)
                try:
                    line.connect(str(self.place.valkey_socket))
                    line.sendall(b"PING\r\n")
                    if line.recv(7).startswith(b"+PONG"):
                        return
                except OSError:
                    pass  # not listening yet; the deadline bounds the tries
            time.sleep(0.02)
        raise ServerFailed(f"valkey did not answer within {START_S:.0f} s")

    def stop(self) -> None:
        if self.process is not None:
            end(self.process, signal.SIGTERM)
        self.place.valkey_socket.unlink(missing_ok=True)


class Postgres:
    """The database. As root it runs in a user namespace of its own, or else as nobody."""

    name = "postgres"

    def __init__(self, place: Place, *, quick: bool) -> None:
        self.place = place
        self.quick = quick
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: tuple[str, ...] = ()
        self.log: IO[bytes] | None = None
        self.log_start_bytes = 0

    def start(self, log: IO[bytes]) -> None:
        self.log = log
        self.prefix = choose_user(self.place.postgres_data)
        programs = places.postgres_programs()
        if self.prefix == AS_NOBODY:
            self._open_to_nobody()
        if not self.place.postgres_data.exists():
            self._initialise(programs, log)
        self._check_version(programs)
        self._clear_stale_pid()
        self._launch()

    def _launch(self) -> None:
        assert self.log is not None
        settings = SETTINGS + (QUICK_SETTINGS if self.quick else ())
        command = [
            str(places.postgres_programs() / "postgres"),
            "-D",
            str(self.place.postgres_data),
        ]
        for setting in (*settings, f"unix_socket_directories={self.place.sockets}"):
            command += ["-c", setting]
        self.log_start_bytes = self.place.log.stat().st_size
        self.process = spawn(command, prefix=self.prefix, death_signal=signal.SIGINT, log=self.log)

    def _open_to_nobody(self) -> None:
        self.place.folder.chmod(0o711)
        self.place.sockets.chmod(0o711)
        os.chown(self.place.sockets, NOBODY, NOBODY)
        self.place.sockets.chmod(0o700)

    def _initialise(self, programs: Path, log: IO[bytes]) -> None:
        """initdb under another name, then rename: an interrupted one never looks finished."""
        for rest in self.place.folder.glob("postgres.new*"):
            shutil.rmtree(rest)
        fresh = self.place.folder / "postgres.new"
        fresh.mkdir(mode=0o700)
        if self.prefix == AS_NOBODY:
            os.chown(fresh, NOBODY, NOBODY)
        command = [
            *self.prefix, str(programs / "initdb"), "-D", str(fresh), "-U", places.DATABASE_USER,
            "--auth=trust", "--encoding=UTF8", "--no-instructions", "--locale=C",
        ]  # fmt: skip
        if major_version(programs) >= FIRST_WITH_BUILTIN_LOCALE:
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if self.quick:
            command.append("--no-sync")
        made = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=clean_environment(),
        )
        if made.returncode != 0:
            raise ServerFailed(f"initdb ended with code {made.returncode}")
        fresh.rename(self.place.postgres_data)

    def _check_version(self, programs: Path) -> None:
        made_by = int((self.place.postgres_data / "PG_VERSION").read_text().strip())
        if made_by != major_version(programs):
            raise ServerFailed(
                f"{self.place.postgres_data} was made by PostgreSQL {made_by}, the programs in "
                f"{programs} are of {major_version(programs)}; move the folder away or set PG_BIN"
            )

    def _clear_stale_pid(self) -> None:
        """End an orphan of this folder; forget a pid that another program has got since."""
        path = self.place.postgres_data / "postmaster.pid"
        try:
            pid = int(path.read_text().split("\n", 1)[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return
        if os.fsencode(self.place.postgres_data) not in command:
            path.unlink(missing_ok=True)
            return
        deadline = time.monotonic() + STOP_S
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGQUIT)

    def wait(self) -> None:
        """Until it accepts a connection; then make the database if it is not there."""
        deadline = time.monotonic() + START_S
        while True:
            if self.process is None or self.process.poll() is not None:
                if time.monotonic() > deadline or not self._was_too_early():
                    raise ServerFailed("postgres ended while starting")
                time.sleep(0.2)
                self._launch()
            try:
                self._make_database()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise ServerFailed(f"postgres does not answer: {error}") from error
            time.sleep(0.03)

    def _was_too_early(self) -> bool:
        with self.place.log.open("rb") as log:
            log.seek(self.log_start_bytes)
            words = log.read()
        return any(phrase in words for phrase in STILL_DYING)

    def _make_database(self) -> None:
        name = places.DATABASE_NAME
        with psycopg.connect(
            host=str(self.place.sockets),
            user=places.DATABASE_USER,
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        ) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if found.fetchone() is None:
                connection.execute(f'CREATE DATABASE "{name}"')

    def stop(self) -> None:
        if self.process is not None:
            end(self.process, signal.SIGINT, signal.SIGQUIT)


def choose_user(data: Path) -> tuple[str, ...]:
    """How to run PostgreSQL, which refuses to be root: the words to put before its command."""
    if os.getuid() != 0:
        return ()
    made_by_nobody = data.exists() and data.stat().st_uid == NOBODY
    if not made_by_nobody and _works(IN_OWN_NAMESPACE):
        return IN_OWN_NAMESPACE
    if _works(AS_NOBODY):
        return AS_NOBODY
    raise ServerFailed(
        "PostgreSQL refuses to run as root, and neither unshare nor setpriv works here; "
        "run as an ordinary user, or set DATABASE_URL"
    )


def _works(prefix: tuple[str, ...]) -> bool:
    if shutil.which(prefix[0]) is None:
        return False
    tried = subprocess.run(
        [*prefix, "true"], check=False, stdin=subprocess.DEVNULL, capture_output=True
    )
    return tried.returncode == 0


def major_version(programs: Path) -> int:
    """18 for ``postgres (PostgreSQL) 18.3``."""
    said = subprocess.run(
        [str(programs / "postgres"), "--version"], capture_output=True, text=True, check=True
    )
    return int(said.stdout.split(")")[1].split(".")[0].strip())
