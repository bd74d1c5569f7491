"""Final results as they were signed, and a phase's lines as they would be signed now."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from challenge.errors import Refusal, refuse
from challenge.models import Evaluation, FinalResult, Phase, Submission
from challenge.rules.disclosure import Viewer
from challenge.rules.lifecycle import OPEN_STATES
from challenge.selectors import documents, leaderboard, phase_disclosure
from challenge.selectors.leaderboard import TEAM, Row


@dataclass(frozen=True)
class Draft:
    """What would be signed now: ``lines`` best first, and what still stands against it.

    ``documents``: teams whose documents were asked for and are not accepted. They do not stand
    against it, but who signs confirms to have seen them.
    """

    lines: list[dict[str, Any]]
    obstacles: list[Refusal] = field(default_factory=list)
    decimals: int | None = None
    documents: list[dict[str, Any]] = field(default_factory=list)


def versions(phase: Phase) -> list[FinalResult]:
    """Return all versions of a phase's final result, the last one first (one query)."""
    if phase.result_version == 0:
        return []
    return list(phase.final_results.select_related("signed_by"))


def get(phase: Phase, *, version: int | None = None) -> FinalResult:
    """Return one version of a phase's final result, the last by default. Raises NotFound."""
    found = phase.final_results.filter(version=version or phase.result_version).first()
    if found is None:
        raise refuse("not-found")
    found.phase = phase
    return found


def ranked_lines(result: FinalResult) -> dict[int, dict[str, Any]]:
    """Return the ranked lines of a signed result by the id of their team, best first (one query).

    A line whose submission is gone, with its team, is not among them.
    """
    lines = [one for one in result.document["lines"] if one["rank"] is not None]
    rows = Submission.objects.filter(pk__in=[line["submission"] for line in lines])
    teams = {str(pk): team for pk, team in rows.values_list("pk", "entry__team")}
    return {teams[line["submission"]]: line for line in lines if line["submission"] in teams}


def draft(phase: Phase, *, now: datetime) -> Draft:
    """Return the lines that would be signed now, under the readers' disclosure.

    Given ``phase.challenge`` and ``phase.task_spec`` loaded. At most eight queries.
    """
    policy = phase_disclosure.policy_for(phase, viewer=Viewer.READER, now=now)
    domains, rows = leaderboard.read_rows(phase, policy, visible=True)
    own = [row for row in rows if row.submission_id is not None]
    digests = dict(
        Submission.objects.filter(pk__in=[row.submission_id for row in own]).values_list(
            "pk", "archive_sha256"
        )
    )
    lines = [_line(row, domains=domains, digests=digests) for row in own]
    return Draft(lines, obstacles(phase, lines=lines), policy.decimals, documents.missing(phase))


def obstacles(phase: Phase, *, lines: list[dict[str, Any]]) -> list[Refusal]:
    """Return why a phase's result cannot be signed now; empty where it can."""
    found = []
    waiting = Evaluation.objects.filter(
        submission__entry__phase=phase, state__in=OPEN_STATES
    ).count()
    if waiting:
        found.append(refuse("result-waits", n=waiting))
    if not phase.settlement_recorded:
        found.append(refuse("result-not-settled"))
    elif phase.awaits_reveal:
        found.append(refuse("result-not-revealed"))
    if phase.frozen_at is not None:
        found.append(refuse("result-frozen"))
    if not any(line["rank"] is not None for line in lines):
        found.append(refuse("result-empty"))
    return found


def _line(row: Row, *, domains: list[str], digests: dict[Any, str]) -> dict[str, Any]:
    low, high = row.interval or (None, None)
    return {
        "kind": row.kind,
        "rank": row.rank,
        "group": row.group if row.kind == TEAM else None,
        "tied": row.tied,
        "team": row.name,
        "affiliation": row.affiliation,
        "method": row.method,
        "miou": row.miou,
        "low": low,
        "high": high,
        "std": row.std,
        "seeds": row.seed_count,
        "overall_accuracy": row.overall_accuracy,
        "class_ious": row.class_ious,
        "domain_mious": dict(zip(domains, row.domain_mious, strict=True)),
        "public_rank": row.public_rank,
        "public_miou": row.public_miou,
        "marks": row.marks,
        "submission": str(row.submission_id),
        "submissions": row.submission_count,
        "submitted_at": f"{row.created_at:%Y-%m-%dT%H:%M:%SZ}" if row.created_at else None,
        "archive_sha256": digests.get(row.submission_id, ""),
        "code_url": row.code_url,
        "paper_url": row.paper_url,
        "inference_ratio": row.inference_ratio,
    }
