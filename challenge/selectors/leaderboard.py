"""A phase's leaderboard as it may leave the server: what page, CSV, JSON and API are made of."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from itertools import count
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import F, Q
from django.utils import timezone
from pydantic import TypeAdapter

from challenge.models import Phase, PublishedResult, RankLine
from challenge.rules import ranking
from challenge.rules.disclosure import DisclosurePolicy, Viewer, Visibility
from challenge.rules.windows import Window, window_at
from challenge.selectors import grants, people, phase_disclosure, row_values, scores
from challenge.selectors.cached import cached as cached_value
from challenge.selectors.roles import Person

TEAM, ORGANISER, BASELINE = "team", "organiser", "baseline"
ORDER = {TEAM: 0, ORGANISER: 1, BASELINE: 2}

T = TypeVar("T")


@dataclass(frozen=True)
class LeaderboardClass:
    """One column: a scored class. ``name`` is {language: text}."""

    id: int
    key: str
    name: dict[str, str]
    color: str


@dataclass(frozen=True)
class Row:
    """One row: a team, a baseline of the platform, or a result published elsewhere.

    ``kind`` is "team", "organiser" (a team with somebody who organises or organised the
    challenge), "baseline", "published-podium" or "published-baseline"; only "team" has a
    ``rank`` and a ``group`` (neighbours that cannot be told apart share a number; ``tied``: the
    group has other teams). Values are fractions under the leaderboard's policy; ``class_ious`` is
    empty where it shows no classes, ``domain_mious`` (in the order of ``Leaderboard.domains``)
    where it shows no domains.
    After a reveal the values count private zones; ``public_rank`` and ``public_miou`` are the
    team's rank and the submission's value on public ones (None for a baseline of several seeds).
    A baseline submitted with several seeds under one method's name is one row: values are means,
    ``std`` the deviation of the mIoU, ``interval`` the band of the two.
    ``marks``: what organisers granted, "late" or "extra-places".
    ``key`` names a row in the page and its JSON: the team's number, for a baseline the team's
    number and its position among the baselines; empty for published results.
    """

    kind: str
    key: str
    name: str
    method: str
    miou: float | None
    class_ious: dict[str, float | None]
    rank: int | None = None
    group: int = 0
    tied: bool = False
    team_id: int | None = None
    affiliation: str = ""
    submission_id: UUID | None = None
    interval: tuple[float | None, float | None] | None = None
    std: float | None = None
    seed_count: int = 1
    overall_accuracy: float | None = None
    domain_mious: list[float | None] = field(default_factory=list)
    created_at: datetime | None = None
    submission_count: int | None = None
    is_final: bool = False
    code_url: str = ""
    paper_url: str = ""
    inference_ratio: float | None = None
    over_inference_limit: bool = False
    public_rank: int | None = None
    public_miou: float | None = None
    marks: list[str] = field(default_factory=list)

    @property
    def published_kind(self) -> str:
        """The kind of a result published elsewhere: "podium" or "baseline"; else empty."""
        _published, _dash, kind = self.kind.partition("-")
        return kind


@dataclass(frozen=True)
class Leaderboard:
    """What a viewer sees of a phase. Not ``visible``: there are no rows.

    ``rows`` are the ranked teams, those of organisers, the baselines, then the published results,
    each best first.
    ``version`` grows with each change of the ranks. ``my_team_id`` is the viewer's team.
    """

    phase: Phase
    visible: bool
    is_open: bool
    policy: DisclosurePolicy
    classes: list[LeaderboardClass]
    rows: list[Row] = field(default_factory=list)
    domains: list[str] = field(default_factory=list)
    as_of: datetime | None = None
    version: int = 0
    my_team_id: int | None = None

    @property
    def is_revealed(self) -> bool:
        """Whether it is ranked by private zones and has values on the public ones beside them."""
        return self.phase.revealed_at is not None and not self.policy.rounded

    @property
    def teams(self) -> list[Row]:
        """The ranked rows."""
        return [row for row in self.rows if row.kind == TEAM]

    @property
    def baselines(self) -> list[Row]:
        """The platform's own submissions."""
        return [row for row in self.rows if row.kind == BASELINE]

    @property
    def published(self) -> list[Row]:
        """Results published elsewhere; never ranked, never rounded further."""
        return [row for row in self.rows if row.kind not in ORDER]

    def best_first(self) -> list[Row]:
        """Return all rows by mIoU; equals stay in the order of ``rows``."""
        return sorted(self.rows, key=lambda row: -(row.miou or 0.0))


CACHED_S = 60  # besides, a cached row ends with the state that it was made in
DOMAINS_AND_ROWS = TypeAdapter(tuple[list[str], list[Row]])
# Another version of the site may have cached rows of another shape.
SHAPE = zlib.crc32(" ".join(field.name for field in fields(Row)).encode())


def of_phase(phase: Phase, *, user: Person = None, now: datetime | None = None) -> Leaderboard:
    """Return a phase's leaderboard as a person may see it.

    At most four queries whatever its length (organiser?, rank lines, the viewer's team, published
    results), given ``phase.challenge`` and ``phase.task_spec`` loaded; rows are cached while the
    ranks stand. Whether the phase itself may be seen is the caller's, who looked it up with
    ``pages.phase_by_slug``.
    """
    now = now or timezone.now()
    viewer = people.viewer_of_phase(user, phase)
    policy = phase_disclosure.policy_for(phase, viewer=viewer, now=now)
    window = window_at(now, opens_at=phase.opens_at, closes_at=phase.closes_at)
    visible = phase_disclosure.leaderboard_visible(phase, viewer=viewer, now=now)
    domains, rows = cached(
        f"{state(phase, user=user, now=now)}-rows",
        lambda: read_rows(phase, policy, visible=visible),
        kind=DOMAINS_AND_ROWS,
    )
    return Leaderboard(
        phase=phase,
        visible=visible,
        is_open=window is Window.OPEN,
        policy=policy,
        classes=classes_of(phase),
        rows=rows,
        domains=domains,
        as_of=phase.ranked_at,
        version=phase.ranks_version,
        my_team_id=people.team_id_in(user, phase) if visible else None,
    )


def own_row(phase: Phase, *, user: Person, now: datetime | None = None) -> Row | None:
    """Return a person's own team's row where each team sees its own alone (three queries at most).

    Without its rank, which tells of the others. None: another visibility, no team, no score.
    """
    now = now or timezone.now()
    team_id = people.team_id_in(user, phase)
    if phase.visibility != Visibility.OWN_TEAM or team_id is None:
        return None
    policy = phase_disclosure.policy_for(phase, viewer=Viewer.READER, now=now)
    own = Q(entry__team=team_id, submission__is_baseline=False)
    rows = rows_where(phase, own, policy=policy)
    return replace(rows[0], rank=None, group=0, public_rank=None) if rows else None


def rows_where(
    phase: Phase,
    condition: Q,
    *,
    policy: DisclosurePolicy,
    keys: Sequence[str] | None = None,
) -> list[Row]:
    """Return some of the ranked teams and baselines, best first, under a policy (one query).

    Whether the leaderboard is visible is the caller's. What depends on the other rows is left
    out: ``key``, ``tied``, ``domain_mious``. ``keys`` names the classes wanted (default: all).
    """
    if keys is None:
        keys = [shown_class.key for shown_class in classes_of(phase)]
    lines = _rank_lines(phase, condition)
    return [_row(line, phase=phase, policy=policy, keys=keys) for line in lines]


def state(phase: Phase, *, user: Person = None, now: datetime | None = None) -> str:
    """Return what changes with any row of the leaderboard under this person's policy.

    Which team is the viewer's is not in it. At most one query. The challenge's own date is in it
    because published results come from its file.
    """
    now = now or timezone.now()
    viewer = people.viewer_of_phase(user, phase)
    policy = phase_disclosure.policy_for(phase, viewer=viewer, now=now)
    visible = phase_disclosure.leaderboard_visible(phase, viewer=viewer, now=now)
    ranked = phase.ranked_at.timestamp() if phase.ranked_at else 0
    frozen = phase.frozen_at.timestamp() if phase.frozen_at else 0
    return (
        f"leaderboard-{SHAPE}-{phase.pk}-{phase.ranks_version}-{ranked}-{int(visible)}"
        f"-{policy.detail}-{policy.miou_step}-{phase.inference_ratio_limit}-{phase.task_spec_id}"
        f"-{phase.counted_zones}-{frozen}-{phase.result_version}"
        f"-{phase.challenge.updated_at.timestamp()}"
    )


def etag(phase: Phase, *, user: Person = None, now: datetime | None = None) -> str:
    """Return what changes when this person's view of the leaderboard does (one query at most)."""
    viewer_id = user.pk if user is not None and user.is_authenticated else 0
    return f"{state(phase, user=user, now=now)}-{viewer_id}"


def cached(key: str, make: Callable[[], T], *, kind: TypeAdapter[T]) -> T:
    """Return what ``make`` makes, a value of ``kind``, once in a minute for each key.

    The one cache of leaderboards: keys start with :func:`state`, so that nothing outlives a change.
    """
    return cached_value(key, make, kind=kind, kept_s=CACHED_S)


def classes_of(phase: Phase) -> list[LeaderboardClass]:
    """Return the scored classes of a phase's task, in order (no query once the task is loaded)."""
    if phase.task_spec is None:
        return []
    return [
        LeaderboardClass(line["id"], line["key"], line["name"], line["color"])
        for line in phase.task_spec.data.get("classes", [])
        if line.get("scored", True)
    ]


def read_rows(
    phase: Phase, policy: DisclosurePolicy, *, visible: bool
) -> tuple[list[str], list[Row]]:
    """Return the domains and all rows as anybody under this policy sees them (two queries)."""
    keys = [shown_class.key for shown_class in classes_of(phase)]
    lines = _rank_lines(phase, Q()) if visible else []
    domains = row_values.domains_of(lines) if policy.domains else []
    group_sizes = Counter(line["group"] for line in lines if line["rank"] is not None)
    rows: list[Row] = []
    baselines = count()
    for line in lines:
        row = _row(line, phase=phase, policy=policy, keys=keys, domains=domains)
        ranked = row.kind == TEAM
        key = f"{row.team_id}-{next(baselines)}" if row.kind == BASELINE else f"{row.team_id}"
        rows.append(replace(row, key=key, tied=ranked and group_sizes[row.group] > 1))
    rows.sort(key=lambda row: ORDER[row.kind])
    if policy.rounded:
        rows = _grouped_by_intervals(rows)
    published = PublishedResult.objects.filter(challenge=phase.challenge_id, phase_slug=phase.slug)
    return domains, rows + [_published_row(result) for result in published]


def _grouped_by_intervals(rows: Sequence[Row]) -> list[Row]:
    """Group teams by the intervals that are shown: a new group where two neighbours' do not touch.

    A comparison of neighbours in full precision would tell one bit of hidden labels a submission.
    """

    def differ(above: Row, below: Row) -> bool:
        low, high = (above.interval or (None, None))[0], (below.interval or (None, None))[1]
        return low is not None and high is not None and low > high

    teams = [row for row in rows if row.kind == TEAM]
    groups = ranking.groups(teams, differ=differ)
    sizes = Counter(groups)
    grouped = [
        replace(row, group=group, tied=sizes[group] > 1)
        for row, group in zip(teams, groups, strict=True)
    ]
    return grouped + [row for row in rows if row.kind != TEAM]


COLUMNS = {
    "team_id": "entry__team_id",
    "team": "entry__team__name",
    "affiliation": "entry__team__affiliation",
    "method": "submission__method_name",
    "created_at": "submission__created_at",
    "is_final": "submission__is_final",
    "is_baseline": "submission__is_baseline",
    "code_url": "submission__code_url",
    "paper_url": "submission__paper_url",
    "baseline_seconds": "submission__baseline_seconds",
    "method_seconds": "submission__method_seconds",
    "score_miou": "score__miou",
    "low": "score__miou_low",
    "high": "score__miou_high",
    "class_ious": "score__class_ious",
    "domain_mious": "score__domain_mious",
    "overall_accuracy": "score__overall_accuracy",
    "rounded": "score__rounded",
}


def _rank_lines(phase: Phase, condition: Q) -> list[dict[str, Any]]:
    lines = list(
        RankLine.objects.filter(condition, phase=phase)
        .order_by(*scores.RANK_ORDER)
        .values(
            *("rank", "group", "submission_count", "submission_id", "public_rank", "public_miou"),
            **{name: F(column) for name, column in COLUMNS.items()},
            seeds=row_values.seeds_column(),
            extra_places=grants.extra_places_column(),
        )
    )
    for line in lines:
        line["miou"] = line.pop("score_miou")  # the line's own is the value that ranked it
    return lines


def _row(
    line: dict[str, Any],
    *,
    phase: Phase,
    policy: DisclosurePolicy,
    keys: Sequence[str],
    domains: Sequence[str] = (),
) -> Row:
    """Return a rank line as a row."""
    runs = row_values.runs_of(line)
    values = row_values.disclosed(line, runs, policy=policy)
    ratio = ranking.inference_ratio(line["baseline_seconds"], line["method_seconds"])
    limit = phase.inference_ratio_limit
    unranked = BASELINE if line["is_baseline"] else ORGANISER
    return Row(
        kind=unranked if line["rank"] is None else TEAM,
        key="",
        name=line["team"],
        method=line["method"],
        miou=values.miou,
        class_ious={key: values.class_ious.get(key) for key in keys} if policy.classes else {},
        rank=line["rank"],
        group=0 if policy.rounded else line["group"],
        team_id=line["team_id"],
        affiliation=line["affiliation"],
        submission_id=line["submission_id"],
        interval=values.interval,
        std=values.std,
        seed_count=max(1, len(runs)),
        overall_accuracy=values.overall_accuracy if policy.classes else None,
        domain_mious=[values.domain_mious.get(domain) for domain in domains],
        created_at=line["created_at"],
        submission_count=line["submission_count"],
        is_final=line["is_final"],
        code_url=line["code_url"],
        paper_url=line["paper_url"],
        inference_ratio=ratio,
        over_inference_limit=ratio is not None and limit is not None and ratio > limit,
        public_rank=None if policy.rounded else line["public_rank"],
        public_miou=None if policy.rounded or len(runs) > 1 else line["public_miou"],
        marks=row_values.marks(line, closes_at=phase.closes_at),
    )


def _published_row(result: PublishedResult) -> Row:
    return Row(
        kind=f"published-{result.kind}",
        key="",
        name=result.name,
        method=result.source,
        miou=result.miou,
        std=result.std,
        class_ious=result.class_ious,
    )
