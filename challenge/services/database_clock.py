"""The database's clock: leases compare times that different hosts wrote."""

from __future__ import annotations

from datetime import datetime

from django.db import connection


def now() -> datetime:
    """Return the database server's time, aware, in UTC.

    Of this moment, not of the transaction's start: a transaction may have waited for a lock.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        value: datetime = cursor.fetchone()[0]
    return value
