"""What a leaderboard on hidden labels derives from scores comes from the values that it shows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from challenge.models import Phase, RankLine
from challenge.selectors import leaderboard
from challenge.services.leaderboard import ranks
from tests.factories import NOON, give_score, make_phase, make_team, submit

pytestmark = pytest.mark.django_db


def test_groups_follow_the_intervals_shown_while_labels_are_hidden() -> None:
    phase = make_phase()
    for miou in (0.5, 0.49, 0.4):
        give_score(submit(make_team(phase.challenge), phase), miou)
    ranks.recompute(phase=phase, now=NOON)

    def groups(**changes: object) -> list[tuple[int, bool]]:
        Phase.objects.update(**changes)
        shown = Phase.objects.select_related("challenge", "task_spec").get()
        rows = leaderboard.of_phase(shown, now=NOON + timedelta(hours=1)).teams
        return [(row.group, row.tied) for row in rows]

    for position, line in enumerate(RankLine.objects.order_by("-miou"), start=1):
        line.group = position
        line.save()
    Phase.objects.update(ranks_version=7)
    assert groups() == [(1, True), (1, True), (2, False)]
    assert groups(closes_at=NOON) == [(1, False), (2, False), (3, False)]
