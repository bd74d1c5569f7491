"""What still stands between a draft and its first participant: the desk's launch check."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.conf import settings

from challenge.models import AuditEvent, Challenge, OutgoingMail, Phase, Score, TaskSpec
from challenge.selectors import page_versions

NEEDED_PAGES = ("overview", "rules")
MAIL_WAITS = timedelta(hours=1)
ORACLE = "phase.oracle"
NO_MAIL = ("console", "dummy", "locmem")


class State(StrEnum):
    """How a check came out; with ``BAD`` nobody could take part."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True)
class Check:
    """One line of the launch check; ``phase`` where it is about one."""

    code: str
    state: State
    phase: Phase | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def checks(challenge: Challenge, *, now: datetime) -> list[Check]:
    """Return every check in order (about four queries, and four more for each phase)."""
    found = [*_pages(challenge)]
    spec = TaskSpec.objects.filter(challenge=challenge).order_by("-version").first()
    found.append(Check("task", State.GOOD if spec is not None else State.BAD))
    phases = list(challenge.phases.select_related("ground_truth", "task_spec"))
    published = [phase for phase in phases if phase.is_published]
    found.append(Check("phases", State.GOOD if published else State.BAD, facts={"n": len(phases)}))
    for phase in phases:
        found += _of_phase(phase, now=now)
    found.append(_mail(now=now))
    return found


def _pages(challenge: Challenge) -> list[Check]:
    lines = page_versions.lines(challenge)
    there = {line.slug for line in lines if "en" in line.titles}
    missing = [slug for slug in NEEDED_PAGES if slug not in there]
    partly = [line.slug for line in lines if line.missing]
    checked = [
        Check("pages", State.BAD if missing else State.GOOD, facts={"list": ", ".join(missing)})
    ]
    if partly:
        checked.append(Check("languages", State.WARN, facts={"list": ", ".join(partly)}))
    return checked


def _of_phase(phase: Phase, *, now: datetime) -> list[Check]:
    over = phase.closes_at is not None and phase.closes_at <= now
    checked = [Check("dates", State.WARN if over else State.GOOD, phase)]
    truth, spec = phase.ground_truth, phase.task_spec
    if truth is None or spec is None:
        return [*checked, Check("labels", State.BAD, phase)]
    checked.append(Check("labels", State.GOOD, phase, {"n": truth.patch_count}))
    oracle = AuditEvent.objects.filter(
        action=ORACLE, challenge=phase.challenge, data__ground_truth=truth.pk, data__task=spec.pk
    ).first()
    perfect = oracle is not None and oracle.data["miou"] == 1.0
    checked.append(Check("oracle", State.GOOD if perfect else State.WARN, phase))
    scored = Score.objects.filter(
        evaluation__submission__entry__phase=phase, evaluation__submission__is_baseline=True
    ).exists()
    checked.append(Check("baseline", State.GOOD if scored else State.WARN, phase))
    if not phase.labels_public and truth.steps:
        shown = truth.steps.get("classes", {})
        rare = [
            one["key"]
            for one in spec.data["classes"]
            if one["scored"] and str(one["id"]) not in shown
        ]
        state = State.WARN if rare else State.GOOD
        checked.append(Check("rare", state, phase, {"list": ", ".join(rare)}))
    return checked


def _mail(*, now: datetime) -> Check:
    """Mail leaves: a real backend, and nothing that waits for an hour."""
    backend = settings.EMAIL_BACKEND.rpartition(".")[0].rpartition(".")[2]
    waiting = OutgoingMail.objects.filter(created_at__lt=now - MAIL_WAITS).count()
    if backend in NO_MAIL:
        return Check("mail", State.BAD, facts={"n": waiting})
    return Check("mail", State.WARN if waiting else State.GOOD, facts={"n": waiting})
