"""A board's figures by domain, as they may leave the server: other weightings start from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.core.cache import cache
from django.db.models import Func, JSONField

from challenge.models import RankLine, Score
from challenge.rules import disclosure
from challenge.selectors import leaderboard
from challenge.selectors.leaderboard import Board

KEPT_S = 24 * 3600

Figures = list[float | None]


class DomainMious(Func):
    """{domain: mIoU} of a score card, taken out by the database: a card has a hundred kilobytes."""

    template = (
        "(SELECT jsonb_object_agg(part.key, part.value -> 'miou')"
        " FROM jsonb_each(%(expressions)s -> 'domains') part)"
    )
    output_field = JSONField()


@dataclass(frozen=True)
class BoardDomains:
    """``domains`` in order; each line's mIoUs in that order, fractions under the board's terms.

    ``teams`` by the team's number, ``baselines`` as ``Board.baselines``. All empty where the
    organiser shows no figures by domain.
    """

    domains: list[str] = field(default_factory=list)
    teams: dict[int, Figures] = field(default_factory=dict)
    baselines: list[Figures] = field(default_factory=list)


def of_board(board: Board) -> BoardDomains:
    """Return the domains' figures of a visible board (at most two queries).

    A score's figures never change: each is taken out of its card once and kept.
    """
    if not board.visible or not board.terms.domains:
        return BoardDomains()
    lines = list(
        RankLine.objects.filter(phase=board.phase)
        .order_by("-miou", "pk")
        .annotate(seeds=leaderboard.seeds(score="pk", miou="miou"))
        .values_list("rank", "entry__team_id", "submission_id", "score_id", "seeds")
    )
    wanted = {}
    for _rank, _team, submission, score, seeds in lines:
        for pk in _scores(score, seeds):
            # the submission's own name tells this database from one filled anew
            wanted[pk] = f"domains-{pk}-{submission}"
    mious = _mious(wanted)
    domains = sorted({domain for one in mious.values() for domain in one})
    found = BoardDomains(domains=domains)
    for rank, team, _submission, score, seeds in lines:
        runs = [mious[pk] for pk in _scores(score, seeds)]
        means = [leaderboard.mean([run.get(domain) for run in runs]) for domain in domains]
        figures = [disclosure.figure(value, terms=board.terms) for value in means]
        if rank is None:
            found.baselines.append(figures)
        else:
            found.teams[team] = figures
    return found


def _scores(score: int, seeds: list[dict[str, Any]] | None) -> list[int]:
    runs = leaderboard.runs_of(seeds)
    return [run["score"] for run in runs] if len(runs) > 1 else [score]


def _mious(wanted: dict[int, str]) -> dict[int, dict[str, float | None]]:
    kept = cache.get_many(wanted.values())
    missing = [pk for pk, key in wanted.items() if key not in kept]
    if missing:
        rows = Score.objects.filter(pk__in=missing).values_list("pk", DomainMious("card"))
        fresh = {wanted[pk]: mious or {} for pk, mious in rows}
        cache.set_many(fresh, KEPT_S)
        kept |= fresh
    return {pk: kept.get(key, {}) for pk, key in wanted.items()}
