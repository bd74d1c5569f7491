"""Locks on a phase: what counts in it stays as it is until the transaction ends."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection

from challenge.models import Phase


def share(phase_id: int) -> None:
    """Keep a phase from being settled, signed or given other labels until the transaction ends.

    Taken before the lock of an entry: the ranks are written under the phase's own lock and refer to
    entries. Those who share it do not wait for one another.
    """
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(Phase._meta.db_table)
        cursor.execute(f"SELECT 1 FROM {table} WHERE id = %s FOR SHARE", [phase_id])


def share_all(phase_ids: Iterable[int]) -> None:
    """:func:`share` several phases, in the order of their numbers."""
    for phase_id in sorted(phase_ids):
        share(phase_id)


def take(phase_id: int) -> Phase:
    """Lock a phase until the transaction ends; return it with challenge, task and ground truth.

    Read once the lock is held: the statement that waits for it would still join the task and the
    labels of before.
    """
    Phase.objects.select_for_update(of=("self",)).only("pk").get(pk=phase_id)
    return Phase.objects.select_related("challenge", "task_spec", "ground_truth").get(pk=phase_id)
