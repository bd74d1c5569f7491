"""Imports an export into an empty database of its own, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import connection

from challenge.embedded.data_folder import ROOT
from tests.live_site import database_url


def import_elsewhere(
    file: Path, addresses: Sequence[str], *, now: datetime, folder: Path
) -> dict[str, dict[str, str]]:
    """Return what each address answers there: ``imported``, then ``ranked`` anew at ``now``.

    ``folder`` is the other site's storage.
    """
    name = f"{connection.settings_dict['NAME']}_elsewhere"
    with connection.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute(f'CREATE DATABASE "{name}"')
    address = database_url()
    address = address.replace(f"/{connection.settings_dict['NAME']}", f"/{name}")
    done = subprocess.run(
        [sys.executable, "-m", "tests.exports.other_site", str(file), now.isoformat(), *addresses],
        cwd=ROOT,
        env=os.environ
        | {
            "DATABASE_URL": address,
            "REDIS_URL": settings.REDIS_URL,
            "SITE_URL": "http://localhost",
            "STORAGE_URL": f"file://{folder}",
            "ALLOWED_HOSTS": "localhost",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with connection.cursor() as cursor:
        cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found
