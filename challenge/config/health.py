"""What a load balancer or a container asks: can this process do its work?

``/livez``: the process answers; it says nothing of the database, whose failure no restart of this
process mends. ``/readyz``: the database answers and has the migrations of this version: send
requests here, in maintenance too. ``/healthz``, for people and monitors: the database must take
writes. The cache need not be there (``challenge.config.cache``); whether it takes writes is said in
the answer, so that a monitor can tell.
"""

from __future__ import annotations

import logging
import time
from threading import Lock
from typing import cast

from django.core.cache import caches
from django.db import Error, OperationalError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from challenge.config.cache import SiteCache
from challenge.selectors import maintenance_mode

log = logging.getLogger(__name__)

# Anybody may ask, and each write costs the disk a flush.
WRITTEN_EVERY_S = 5.0
_written = {"at_s": -WRITTEN_EVERY_S}
_lock = Lock()
_migrated = {"is_complete": False}


@never_cache
@require_safe
def answer(_request: HttpRequest) -> HttpResponse:
    """200 and ``ok``, then a line for what is away; 503 where the database takes no write."""
    try:
        _check_database()
    except Error:
        log.exception("the database takes no writes")
        return HttpResponse("database: takes no writes\n", status=503, content_type="text/plain")
    cache = cast(SiteCache, caches["default"])
    cache.set("health", b"written", 60)
    away = "cache: away\n" if cache.availability.error else ""
    return HttpResponse(f"ok\n{away}", content_type="text/plain")


@never_cache
@require_safe
def live(_request: HttpRequest) -> HttpResponse:
    """200 and ``ok`` while this process answers at all; asks neither database nor cache."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
@require_safe
def ready(_request: HttpRequest) -> HttpResponse:
    """200 and ``ok`` where requests can be served; 503 and the reason where not (yet)."""
    in_maintenance = False
    try:
        reason = _why_not_ready()
        in_maintenance = not reason and maintenance_mode.current() is not None
    except Error:
        log.exception("the database does not answer")
        reason = "database: does not answer"
    # In maintenance pages are readable and say so: requests belong here.
    told = "ok\nmaintenance: writes are refused\n" if in_maintenance else "ok\n"
    return HttpResponse(
        f"{reason}\n" if reason else told,
        status=503 if reason else 200,
        content_type="text/plain",
    )


def _why_not_ready() -> str:
    if not _migrated["is_complete"]:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if missing:
            names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _ in missing)
            return f"database: {len(missing)} migrations are missing ({names[:200]})"
        _migrated["is_complete"] = True  # none is taken back while this version runs
        return ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def _check_database() -> None:
    """Write a few bytes to the log of the database, at most every few seconds; else ask it.

    Raises ``django.db.Error`` for one that is away, read-only or without room.
    """
    with _lock:
        now_s = time.monotonic()
        is_due = now_s - _written["at_s"] >= WRITTEN_EVERY_S
        if is_due:
            _written["at_s"] = now_s
    with transaction.atomic(), connection.cursor() as cursor:
        if is_due:
            # A record of the write-ahead log that belongs to no table; it is flushed at commit.
            cursor.execute("SELECT pg_logical_emit_message(true, 'health', 'written')")
        cursor.execute("SHOW transaction_read_only")
        if cursor.fetchone() == ("on",):
            raise OperationalError("the database is read-only")
