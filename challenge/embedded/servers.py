"""The two servers as child processes: how each is started, found ready and stopped."""

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

from challenge.embedded import data_folder
from challenge.embedded.data_folder import NOBODY, DataFolder

EXEC_WITH_PARENT = Path(__file__).with_name("exec_with_parent.py")
START_S = 30.0
STOP_S = 10.0
FIRST_WITH_BUILTIN_LOCALE = 17
IN_OWN_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
# The checkout may lie in a folder that only root may enter, with the servers' programs and data in
# it. The first capability lets its process enter and read any folder; the second is wider, and the
# one that containers usually leave to root. PostgreSQL asks access(2) whether it can read its own
# programs, which heeds a capability only where a change of user leaves capabilities alone.
AS_NOBODY_WITH_ACCESS = tuple(
    (
        AS_NOBODY[0], "--securebits=+no_setuid_fixup", *AS_NOBODY[1:],
        f"--inh-caps=+{capability}", f"--ambient-caps=+{capability}", "--",
    )
    for capability in ("dac_read_search", "dac_override")
)  # fmt: skip
ARE_ACCESSIBLE = (
    "import os, sys; sys.exit(not all(os.access(path, os.X_OK) for path in sys.argv[1:]))"
)

# What PostgreSQL says while an earlier server of the same folder has not ended yet.
NOT_YET_ENDED = (b'lock file "postmaster.pid"', b"shared memory block", b"lock file")

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
    """A server did not start; the message says why."""


def clean_environment() -> dict[str, str]:
    """A server's environment: no PG* variable of the user's, no secret, one language."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def start_process(
    command: list[str], *, prefix: tuple[str, ...], death_signal: int, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a server that the kernel ends when this process ends, however it ends."""
    launcher = [
        sys.executable,
        "-I",
        "-S",
        str(EXEC_WITH_PARENT),
        str(int(death_signal)),
        str(os.getpid()),
    ]
    return subprocess.Popen(
        [*prefix, *launcher, *command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=clean_environment(),
        start_new_session=True,
    )


def stop_process(process: subprocess.Popen[bytes], *signals: signal.Signals) -> None:
    """Send ``signals`` one after the other until it ends, and finally SIGKILL."""
    for number in (*signals, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            continue


# Who has no password may ask whether it runs; ours may do all but administer the server. Celery's
# transport asks INFO, and tests empty their own database.
VALKEY_USERS = """\
user default on nopass resetkeys resetchannels -@all +ping
user {user} on >{password} ~* &* +@all -@admin -@dangerous +info +flushdb
"""


class Valkey:
    """The broker and cache: a socket, no TCP port, a password, nothing kept on disk."""

    name = "valkey"

    def __init__(self, data: DataFolder) -> None:
        self.data = data
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, log: IO[bytes]) -> None:
        settings = {
            "port": "0",
            "unixsocket": str(self.data.valkey_socket),
            "unixsocketperm": "700",
            "dir": str(self.data.folder),
            "save": "",
            "appendonly": "no",
            "maxmemory": "256mb",
            # Only what has a date of expiry makes room: the cache's values, never the messages.
            "maxmemory-policy": "volatile-lru",
            "aclfile": str(self._write_users()),
        }
        command = [str(data_folder.valkey_program())]
        for key, value in settings.items():
            command += [f"--{key}", value]
        self.process = start_process(command, prefix=(), death_signal=signal.SIGTERM, log=log)

    def _write_users(self) -> Path:
        path = self.data.valkey_users
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        password = self.data.valkey_password()
        path.write_text(VALKEY_USERS.format(user=data_folder.VALKEY_USER, password=password))
        return path

    def wait_until_ready(self) -> None:
        """Until it answers a PING."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                raise ServerFailed("valkey ended while starting")
            with socket.socket(socket.AF_UNIX) as channel:
                channel.settimeout(1)
                try:
                    channel.connect(str(self.data.valkey_socket))
                    channel.sendall(b"PING\r\n")
                    if channel.recv(7).startswith(b"+PONG"):
                        return
                except OSError:
                    pass  # not listening yet; the deadline bounds the tries
            time.sleep(0.02)
        raise ServerFailed(f"valkey did not answer within {START_S:.0f} s")

    def stop(self) -> None:
        if self.process is not None:
            stop_process(self.process, signal.SIGTERM)
        self.data.valkey_socket.unlink(missing_ok=True)


class Postgres:
    """The database. As root it runs in a user namespace of its own, or else as nobody."""

    name = "postgres"

    def __init__(self, data: DataFolder, *, quick: bool) -> None:
        self.data = data
        self.quick = quick
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: tuple[str, ...] = ()
        self.log: IO[bytes] | None = None
        self.log_start_bytes = 0

    def start(self, log: IO[bytes]) -> None:
        self.log = log
        programs = data_folder.postgres_programs()
        self.prefix = choose_user(self.data.postgres_data, program=programs / "postgres")
        if self._runs_as_nobody():
            self._give_to_nobody()
        if not self.data.postgres_data.exists():
            self._initialise(programs, log)
        self._check_version(programs)
        self._clear_stale_pid()
        self._launch()

    def _runs_as_nobody(self) -> bool:
        return self.prefix[:1] == AS_NOBODY[:1]

    def _launch(self) -> None:
        assert self.log is not None
        settings = SETTINGS + (QUICK_SETTINGS if self.quick else ())
        command = [
            str(data_folder.postgres_programs() / "postgres"),
            "-D",
            str(self.data.postgres_data),
        ]
        for setting in (*settings, f"unix_socket_directories={self.data.sockets}"):
            command += ["-c", setting]
        self.log_start_bytes = self.data.log.stat().st_size
        self.process = start_process(
            command, prefix=self.prefix, death_signal=signal.SIGINT, log=self.log
        )

    def _give_to_nobody(self) -> None:
        self.data.folder.chmod(0o711)
        self.data.sockets.chmod(0o711)
        os.chown(self.data.sockets, NOBODY, NOBODY)
        self.data.sockets.chmod(0o700)

    def _initialise(self, programs: Path, log: IO[bytes]) -> None:
        """initdb under another name, then rename: an interrupted one never looks finished."""
        for rest in self.data.folder.glob("postgres.new*"):
            shutil.rmtree(rest)
        fresh = self.data.folder / "postgres.new"
        fresh.mkdir(mode=0o700)
        if self._runs_as_nobody():
            os.chown(fresh, NOBODY, NOBODY)
        command = [
            *self.prefix, str(programs / "initdb"), "-D", str(fresh),
            "-U", data_folder.DATABASE_USER, "--auth=trust", "--encoding=UTF8", "--no-instructions",
            "--locale=C",
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
        fresh.rename(self.data.postgres_data)

    def _check_version(self, programs: Path) -> None:
        made_by = int((self.data.postgres_data / "PG_VERSION").read_text().strip())
        if made_by != major_version(programs):
            raise ServerFailed(
                f"{self.data.postgres_data} was made by PostgreSQL {made_by}, the programs in "
                f"{programs} are of {major_version(programs)}; move the folder away or set PG_BIN"
            )

    def _clear_stale_pid(self) -> None:
        """Stop an earlier server of this folder; drop a pid that another program has got since."""
        path = self.data.postgres_data / "postmaster.pid"
        try:
            pid = int(path.read_text().split("\n", 1)[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return
        if os.fsencode(self.data.postgres_data) not in command:
            path.unlink(missing_ok=True)
            return
        deadline = time.monotonic() + STOP_S
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGQUIT)

    def wait_until_ready(self) -> None:
        """Until it accepts a connection; then make the database if it is not there."""
        deadline = time.monotonic() + START_S
        while True:
            if self.process is None or self.process.poll() is not None:
                if time.monotonic() > deadline or not self._earlier_server_remains():
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

    def _earlier_server_remains(self) -> bool:
        with self.data.log.open("rb") as log:
            log.seek(self.log_start_bytes)
            text = log.read()
        return any(phrase in text for phrase in NOT_YET_ENDED)

    def _make_database(self) -> None:
        name = data_folder.DATABASE_NAME
        with psycopg.connect(
            host=str(self.data.sockets),
            user=data_folder.DATABASE_USER,
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        ) as connection:
            rows = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if rows.fetchone() is None:
                connection.execute(f'CREATE DATABASE "{name}"')

    def stop(self) -> None:
        if self.process is not None:
            stop_process(self.process, signal.SIGINT, signal.SIGQUIT)


def choose_user(data: Path, *, program: Path) -> tuple[str, ...]:
    """How to run PostgreSQL, which refuses to be root: what to put before its command.

    Raises ``ServerFailed`` when no way works here.
    """
    if os.getuid() != 0:
        return ()
    made_by_nobody = data.exists() and data.stat().st_uid == NOBODY
    as_nobody = ((*AS_NOBODY, "--"), *AS_NOBODY_WITH_ACCESS)
    for prefix in as_nobody if made_by_nobody else (IN_OWN_NAMESPACE, *as_nobody):
        if _can_run(prefix, program, folder=data.parents[1]):
            return prefix
    raise ServerFailed(
        "PostgreSQL refuses to run as root, and neither unshare nor setpriv can run "
        f"{program} as another user here; run as an ordinary user, or set DATABASE_URL"
    )


def _can_run(prefix: tuple[str, ...], program: Path, *, folder: Path) -> bool:
    """Whether the user of ``prefix`` may run our Python and the server, and enter ``folder``."""
    if shutil.which(prefix[0]) is None:
        return False
    command = (sys.executable, "-I", "-S", "-c", ARE_ACCESSIBLE, str(program), str(folder))
    tried = subprocess.run(
        [*prefix, *command], check=False, stdin=subprocess.DEVNULL, capture_output=True
    )
    return tried.returncode == 0


def major_version(programs: Path) -> int:
    """18 for ``postgres (PostgreSQL) 18.3``."""
    printed = subprocess.run(
        [str(programs / "postgres"), "--version"], capture_output=True, text=True, check=True
    )
    return int(printed.stdout.split(")")[1].split(".")[0].strip())
