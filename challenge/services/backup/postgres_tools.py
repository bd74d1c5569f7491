"""pg_dump and pg_restore: found by the server's version, and run."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from psycopg.conninfo import make_conninfo

from challenge.services.backup.manifest import BackupError

# Where Debian and the packages of PostgreSQL's own project put the programs of each version.
SYSTEM_FOLDERS = (("/usr/lib/postgresql", "*/bin"), ("/usr", "pgsql-*/bin"))
VERSION_TEXT = re.compile(r"\(PostgreSQL\) (\d+)")
# What Django hands to psycopg and libpq does not know.
NOT_LIBPQ = frozenset({"cursor_factory", "context", "prepare_threshold", "autocommit", "pool"})


@dataclass(frozen=True)
class Tool:
    """A program of PostgreSQL and its major version."""

    path: Path
    major: int


def server_major() -> int:
    """Return the major version of the database's server."""
    connection.ensure_connection()
    return int(connection.connection.info.server_version) // 10_000


def find(name: str, *, at_least: int) -> Tool:
    """Return the program ``name`` of the oldest version from ``at_least`` on.

    A program reads servers and dumps of its version and older ones. Raises BackupError.
    """
    tools = [tool for tool in map(_tool, _candidates(name)) if tool is not None]
    fitting = [tool for tool in tools if tool.major >= at_least]
    if fitting:
        return min(fitting, key=lambda tool: tool.major)
    found = ", ".join(f"{tool.path} ({tool.major})" for tool in tools) or "none"
    raise BackupError(
        f"{name} of PostgreSQL {at_least} or newer is needed, and was not found (there is: "
        f"{found}). Install Debian's postgresql-client-{at_least}, or the extra 'backup' of this "
        "package, or set PG_BIN to the folder of PostgreSQL's programs"
    )


def _candidates(name: str) -> Iterator[Path]:
    if settings.POSTGRESQL_PROGRAMS is not None:
        yield Path(settings.POSTGRESQL_PROGRAMS) / name
    for folder, pattern in SYSTEM_FOLDERS:
        yield from (path / name for path in Path(folder).glob(pattern))
    on_path = shutil.which(name)
    if on_path:
        yield Path(on_path)


def _tool(path: Path) -> Tool | None:
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, check=False, timeout=30
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = VERSION_TEXT.search(said)
    return Tool(path, int(match[1])) if match else None


def run(tool: Tool, *arguments: str) -> None:
    """Run a program on the site's database; its password is in no list of processes.

    Raises BackupError with what the program said.
    """
    parameters: dict[str, Any] = {
        key: value
        for key, value in connection.get_connection_params().items()
        if key not in NOT_LIBPQ and value is not None
    }
    # "options" and time limits of the site's own queries mean nothing here.
    parameters.pop("options", None)
    environment = {"PGPASSWORD": str(parameters.pop("password", "")), "LC_ALL": "C"}
    ran = subprocess.run(
        [tool.path, "--dbname", make_conninfo(**parameters), "--no-password", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if ran.returncode:
        raise BackupError(f"{tool.path.name} failed: {ran.stderr.strip()[-2000:]}")
