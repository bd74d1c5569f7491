"""A re-score by the API: asked for, previewed, published as it was previewed, or given up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from challenge.models import AuditEvent, Evaluation, Phase, RankLine, Rescore
from challenge.rules.roles import Role
from challenge.services.submissions import rescores
from tests.api.conftest import Caller, caller
from tests.factories import make_organiser, make_phase, make_task
from tests.services.submissions.test_rescoring import (
    ALL_OF_A,
    ONLY_A,
    SOME_OF_BOTH,
    make_scored,
)

pytestmark = pytest.mark.django_db

RESCORES = "/organise/challenges/abc/phases/test/rescores"


def done(answer: Any) -> Any:
    """Return the answer of what must succeed."""
    assert answer.status_code == 200, answer.content
    return answer.json()


def code_of(answer: Any) -> tuple[int, str]:
    """Return status and code of what must be refused."""
    return answer.status_code, answer.json()["code"]


def organiser(phase: Phase, role: Role) -> Caller:
    return caller(make_organiser(phase.challenge, role=role), ["organise"])


def work() -> None:
    """What a worker does once."""
    taken = rescores.claim(worker="w")
    assert taken is not None
    rescores.work(taken, worker="w")


def order() -> list[str]:
    """The teams of the leaderboard, the best first."""
    lines = RankLine.objects.filter(rank__isnull=False).order_by("rank")
    return list(lines.values_list("entry__team__name", flat=True))


def test_a_rescore_is_published_as_it_was_previewed(tmp_path: Path) -> None:
    with override_settings(EVIDENCE_DIR=tmp_path):
        phase = make_phase()
        make_scored(phase, tmp_path, "wide", SOME_OF_BOTH)
        make_scored(phase, tmp_path, "narrow", ALL_OF_A)
        make_task(phase.challenge, classes=ONLY_A)
        owner, judge = organiser(phase, Role.OWNER), organiser(phase, Role.JUDGE)
        before = order()
        assert done(judge.get(RESCORES)) == {"current": None, "earlier": []}
        ask = {"method": "evidence"}
        assert code_of(judge.post(RESCORES, ask)) == (403, "role-missing")
        assert code_of(owner.post(RESCORES, ask | {"labels_version": 9})) == (404, "not-found")
        assert code_of(owner.post(RESCORES, ask | {"task_version": 9})) == (404, "not-found")
        assert code_of(owner.call("DELETE", RESCORES)) == (404, "not-found")
        asked = done(owner.post(RESCORES, ask))
        assert (asked["state"], asked["task_version"], asked["changes"]) == ("queued", 2, [])
        assert code_of(owner.post(RESCORES, ask)) == (409, "rescore-open")
        early = owner.post(f"{RESCORES}/publish", {"digest": "0" * 64})
        assert code_of(early) == (409, "illegal-move")
        work()
        shown = done(judge.get(RESCORES))["current"]
        assert (shown["state"], shown["missing_count"], shown["blocking"]) == ("previewed", 0, 0)
        assert {one["team"] for one in shown["changes"]} == {"wide", "narrow"}
        other = owner.post(f"{RESCORES}/publish", {"digest": "0" * 64})
        assert code_of(other) == (409, "rescore-stale")
        done(owner.post(f"{RESCORES}/preview"))
        work()
        again = done(judge.get(RESCORES))["current"]
        assert again["changes"] == shown["changes"]
        nothing = owner.post(f"{RESCORES}/missing")
        assert code_of(nothing)[1] == "nothing-to-rescore"
        confirm = {"digest": again["digest"]}
        assert code_of(judge.post(f"{RESCORES}/publish", confirm)) == (403, "role-missing")
        done(owner.post(f"{RESCORES}/publish", confirm))
        work()
        told = done(judge.get(RESCORES))
        assert (told["current"], told["earlier"][0]["state"]) == (None, "published")
        assert order() == before[::-1]


def test_a_rescore_from_the_archives_asks_first_and_is_given_up(tmp_path: Path) -> None:
    with override_settings(EVIDENCE_DIR=tmp_path):
        phase = make_phase()
        make_scored(phase, tmp_path, "wide", SOME_OF_BOTH)
        make_task(phase.challenge, classes=ONLY_A)
        owner = organiser(phase, Role.OWNER)
        ask = {"method": "archives"}
        refused = owner.post(RESCORES, ask).json()
        assert (refused["code"], refused["params"]["count"]) == ("switch-unconfirmed", 1)
        assert not Rescore.objects.exists()
        confirm = refused["params"]["confirmation"]
        asked = done(owner.post(RESCORES, ask | {"confirm": confirm}))
        assert (asked["scored"], asked["total"]) == (0, 1)
        assert Evaluation.objects.count() == 2
        done(owner.call("DELETE", RESCORES))
        assert done(owner.get(RESCORES))["earlier"][0]["state"] == "cancelled"
        assert AuditEvent.objects.filter(action="rescore.give-up").exists()
