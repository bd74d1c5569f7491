"""What still stands between a draft and its first participant: the desk's launch check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    found += _texts(challenge, phases)
    published = [phase for phase in phases if phase.is_published]
    found.append(Check("phases", State.GOOD if published else State.BAD, facts={"n": len(phases)}))
    for phase in phases:
        found += _of_phase(phase, now=now)
    found.append(_mail(now=now))
    return found


def _pages(challenge: Challenge) -> list[Check]:
    required = challenge.required_languages
    lines = {line.slug: line for line in page_versions.lines(challenge)}
    lacking = {slug: lines[slug].missing if slug in lines else required for slug in NEEDED_PAGES}
    missing = [f"{slug} ({', '.join(codes)})" for slug, codes in lacking.items() if codes]
    partly = [
        f"{line.slug} ({', '.join(line.missing)})"
        for line in lines.values()
        if line.missing and line.slug not in NEEDED_PAGES
    ]
    checked = [
        Check("pages", State.BAD if missing else State.GOOD, facts={"list": ", ".join(missing)})
    ]
    if partly:
        checked.append(Check("languages", State.WARN, facts={"list": ", ".join(partly)}))
    return checked


def _texts(challenge: Challenge, phases: Sequence[Phase]) -> Iterator[Check]:
    """Texts that are written in some language, and not in every one that is required."""
    texts = [("title", challenge.title), ("tagline", challenge.tagline)]
    texts.append(("summary", challenge.summary))
    texts += [(f"{phase.slug}: name", phase.name) for phase in phases]
    texts += [(f"{phase.slug}: summary", phase.summary) for phase in phases]
    lacking = [
        f"{what} ({', '.join(missing)})"
        for what, text in texts
        if any(text.values())
        and (missing := [code for code in challenge.required_languages if not text.get(code)])
    ]
    if lacking:
        yield Check("texts", State.WARN, facts={"list": "; ".join(lacking)})


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
