"""When the site is readable alone, for an upgrade or a move."""

from __future__ import annotations

from django.db import models


class MaintenancePeriod(models.Model):
    """From ``started_at`` to ``ended_at`` (None: still) nobody but operators writes.

    ``until`` is what people are told, None where nothing was said; it ends nothing by itself.
    """

    started_at = models.DateTimeField()
    until = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["ended_at"],
                nulls_distinct=False,
                condition=models.Q(ended_at=None),
                name="one_maintenance_period_at_a_time",
            )
        ]
        default_permissions = ()

    def __str__(self) -> str:
        return f"maintenance from {self.started_at:%Y-%m-%d %H:%M}"
