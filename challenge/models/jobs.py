"""What rows that are jobs have in common: the row is the queue, a worker holds it by a lease."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q


class LeasedJob(models.Model):
    """A job that a worker claims (attempt + 1, lease), renews and ends.

    Every write of a worker carries its attempt, so that a late worker is refused. Subclasses add
    ``state`` with its choices and constraints, and an event model with related name ``events``.
    Written by :mod:`challenge.services.leased_jobs` alone.
    """

    attempt = models.PositiveSmallIntegerField(default=0)
    attempts_before = models.PositiveSmallIntegerField(default=0)
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=120, blank=True)
    stage = models.CharField(max_length=32, blank=True)
    error_code = models.CharField(max_length=64, blank=True)

    class Meta:
        abstract = True

    def event_columns(self) -> dict[str, Any]:
        """Return what an event of this job records besides states, attempt, time and actor."""
        return {}

    def log_ids(self) -> dict[str, Any]:
        """Return the ids by which a log names this job."""
        return {self._meta.model_name or "job": str(self.pk)}


class JobEvent(models.Model):
    """One change of a job's state; never changed, never deleted."""

    from_state = models.CharField(max_length=16, blank=True)
    to_state = models.CharField(max_length=16)
    attempt = models.PositiveSmallIntegerField()
    at = models.DateTimeField()
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        abstract = True
        ordering = ["pk"]


def leased_while(active: StrEnum) -> Q:
    """Return the check that a row has a lease and an attempt exactly while its state is active."""
    state = active.value
    return Q(state=state, lease_until__isnull=False, attempt__gte=1) | (
        ~Q(state=state) & Q(lease_until__isnull=True)
    )
