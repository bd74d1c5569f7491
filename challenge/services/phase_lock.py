"""A shared lock on a phase: what counts in it stays as it is until the transaction ends."""

from __future__ import annotations

from django.db import connection

from challenge.models import Phase


def share(phase_id: int) -> None:
    """Keep a phase from being settled, or from getting other labels, until the transaction ends.

    Taken before the lock of an entry: the ranks are written under the phase's own lock and refer to
    entries. Those who share it do not wait for one another.
    """
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(Phase._meta.db_table)
        cursor.execute(f"SELECT 1 FROM {table} WHERE id = %s FOR SHARE", [phase_id])
