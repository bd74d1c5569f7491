"""A site in folders and a database of its own, which commands run on in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from django.conf import settings
from psycopg import sql

from challenge.embedded.data_folder import ROOT
from tests.live_site import database_url


@dataclass
class Place:
    """Where a site keeps what it keeps; `environment` tells it to its processes."""

    folder: Path
    database: str
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database,
            "REDIS_URL": settings.REDIS_URL,
            "STORAGE_URL": f"file://{self.folder}/storage",
            "UPLOADS_DIR": f"{self.folder}/uploads",
            "LABELS_DIR": f"{self.folder}/labels",
            "EVIDENCE_DIR": f"{self.folder}/evidence",
            "LEASE_S": "5",
            **self.more,
        }

    def manage(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of manage.py here."""
        return subprocess.run(
            [sys.executable, "manage.py", *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def count(self, where: str) -> int:
        """How many evaluations are like this."""
        with psycopg.connect(self.database) as connection:
            row = connection.execute(
                f"SELECT count(*) FROM challenge_evaluation WHERE {where}"  # type: ignore[arg-type]
            ).fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def empty_database(name: str) -> Iterator[str]:
    """The address of a new database beside the test's own; dropped after."""
    url = database_url()
    quoted = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(quoted))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(quoted))
        own = str(connection.info.dbname)
        try:
            yield url.replace(f"/{own}", f"/{name}", 1)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(quoted))
