from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from challenge.config import health

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _due() -> Iterator[None]:
    """The next question writes."""
    health._written["at_s"] = -health.WRITTEN_EVERY_S
    yield
    health._written["at_s"] = -health.WRITTEN_EVERY_S


def test_a_web_whose_database_lacks_a_migration_is_not_ready(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(health._migrated, "is_complete", False)
    recorder = MigrationRecorder(connection)
    last = recorder.migration_qs.filter(app="challenge").order_by("-id").first()
    assert last is not None
    recorder.record_unapplied("challenge", last.name)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert (
        answer.content == f"database: 1 migrations are missing (challenge.{last.name})\n".encode()
    )
    assert client.get("/livez").content == b"ok\n"
    recorder.record_applied("challenge", last.name)
    assert client.get("/readyz").content == b"ok\n"


def written_bytes() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def test_healthy_when_database_and_cache_take_writes(client: Client) -> None:
    before = written_bytes()
    answer = client.get("/healthz")

    assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert written_bytes() > before


def test_a_database_that_takes_no_writes_is_unhealthy(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL transaction_read_only = on")
    answer = client.get("/healthz")

    assert (answer.status_code, answer.content) == (503, b"database: takes no writes\n")


def test_the_database_user_needs_no_special_rights(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE someone")
        cursor.execute("SET LOCAL ROLE someone")
    assert client.get("/healthz").status_code == 200
