"""Final results: signed once a phase is settled, verifiable by anyone, never changed."""

from __future__ import annotations

import json
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from challenge.errors import Refusal
from challenge.models import AuditEvent, Evaluation, FinalResult, Phase, Submission, Team
from challenge.rules.lifecycle import State
from challenge.rules.roles import Role
from challenge.selectors import final_results as selector
from challenge.services import maintenance, signing
from challenge.services.accounts import accounts
from challenge.services.leaderboard import final_results as service
from challenge.services.submissions import evaluations
from challenge.services.teams import disqualifications, teams
from tests.factories import (
    NOON,
    captain_of,
    give_score,
    make_organiser,
    make_team,
    submit,
)
from tests.helpers import run_in_threads

pytestmark = pytest.mark.django_db

CLOSE = NOON + timedelta(days=30)
LATER = CLOSE + timedelta(hours=1)


@pytest.fixture
def ended(phase: Phase, team: Team) -> Phase:
    """A settled phase with two ranked teams, the better one last."""
    rival = make_team(phase.challenge, "Bêta, d'Orléans")
    give_score(submit(team, phase), miou=0.5)
    give_score(submit(rival, phase), miou=0.6)
    Phase.objects.update(grace_minutes=0)
    maintenance.sweep(now=LATER)
    return Phase.objects.select_related("challenge", "task_spec").get()


def sign(phase: Phase, **asked: object) -> FinalResult:
    """Sign what a judge sees now."""
    actor = asked.pop("actor", None) or make_organiser(phase.challenge, role=Role.JUDGE)
    now = asked.setdefault("now", LATER)
    confirmed = service.digest(selector.draft(phase, now=now))  # type: ignore[arg-type]
    return service.sign(**{"phase": phase, "actor": actor, "confirmed": confirmed} | asked)  # type: ignore[arg-type]


def refused(code: str, phase: Phase, **asked: object) -> None:
    with pytest.raises(Refusal) as refusal:
        sign(phase, **asked)
    assert refusal.value.code == code


def test_anyone_verifies_what_was_signed(ended: Phase) -> None:
    result = sign(ended)
    signed = json.loads(json.dumps(FinalResult.objects.get().signed))
    document = signed["result"]
    assert signing.is_signed_by(document, signature=signed["signature"], key=signed["key"])
    best, second = document["lines"]
    assert (best["rank"], best["team"], best["miou"]) == (1, "Bêta, d'Orléans", 0.6)
    assert (second["rank"], second["team"], second["miou"]) == (2, "Alpha", 0.5)
    assert best["archive_sha256"] == Submission.objects.get(pk=best["submission"]).archive_sha256
    assert set(best["class_ious"]) == {one["key"] for one in document["classes"]}
    assert document["ground_truth"]["digest"] == ended.ground_truth.digest  # type: ignore[union-attr]
    assert (document["version"], document["decimals"], result.reason) == (1, None, "")
    best["miou"] = 0.61
    assert not signing.is_signed_by(document, signature=signed["signature"], key=signed["key"])


def test_what_stands_against_a_signature_is_named(phase: Phase, team: Team) -> None:
    refused("result-not-settled", phase, now=NOON)
    waiting = submit(team, phase)
    refused("result-waits", phase, now=LATER)
    evaluations.cancel(submission=waiting, actor=captain_of(team), now=NOON)
    Phase.objects.update(grace_minutes=0)
    maintenance.sweep(now=LATER)
    phase.refresh_from_db()
    refused("result-empty", phase, now=LATER)
    Phase.objects.update(settled_at=None)
    give_score(submit(team, phase))
    maintenance.sweep(now=LATER)
    Phase.objects.update(frozen_at=CLOSE)
    phase.refresh_from_db()
    refused("result-frozen", phase, now=LATER)
    assert not FinalResult.objects.exists()


def test_only_who_may_signs_and_only_what_was_shown(ended: Phase, team: Team) -> None:
    for role in (Role.EDITOR, Role.OBSERVER):
        refused("role-missing", ended, actor=make_organiser(ended.challenge, role=role))
    shown = service.digest(selector.draft(ended, now=LATER))
    owner = make_organiser(ended.challenge)
    disqualifications.disqualify(team=team, actor=owner, reason="two accounts", now=LATER)
    refused("result-changed-meanwhile", ended, actor=owner, confirmed=shown)


def test_another_version_needs_a_difference_and_a_public_reason(ended: Phase, team: Team) -> None:
    first = sign(ended)
    refused("result-reason-missing", ended)
    refused("result-unchanged", ended, reason="once more")
    disqualifications.disqualify(
        team=team, actor=make_organiser(ended.challenge), reason="two accounts", now=LATER
    )
    second = sign(ended, reason="Alpha had two accounts")
    assert [line["team"] for line in second.document["lines"]] == ["Bêta, d'Orléans"]
    assert second.document["reason"] == "Alpha had two accounts"
    assert second.document["previous_sha256"]
    assert [one.version for one in selector.versions(ended)] == [2, 1]
    assert len(selector.get(ended, version=1).document["lines"]) == 2
    assert selector.get(ended, version=1).document == first.document
    trail = AuditEvent.objects.filter(action="result.sign").order_by("pk")
    assert [event.data["version"] for event in trail] == [1, 2]


def test_the_database_keeps_what_was_signed(ended: Phase, team: Team) -> None:
    judge = make_organiser(ended.challenge, role=Role.JUDGE)
    sign(ended, actor=judge)
    before = FinalResult.objects.values("document", "signature", "version").get()
    changes: list[dict[str, Any]] = [
        {"document": {}},
        {"signature": ""},
        {"version": 7},
        {"reason": "other"},
    ]
    for change in changes:
        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            FinalResult.objects.update(**change)
    teams.rename(team=team, actor=captain_of(team), name="Another name")
    accounts.delete(user=judge)
    assert FinalResult.objects.values("document", "signature", "version").get() == before
    assert FinalResult.objects.get().signed_by is None


def test_a_score_that_waits_is_not_signed_away(ended: Phase) -> None:
    Evaluation.objects.filter(submission__entry__team__name="Alpha").update(
        state=State.QUEUED.value
    )
    refused("result-waits", ended)


@pytest.mark.django_db(transaction=True)
def test_of_two_signatures_at_once_one_is_version_1(ended: Phase) -> None:
    judge = make_organiser(ended.challenge, role=Role.JUDGE)
    confirmed = service.digest(selector.draft(ended, now=LATER))
    start, outcomes = Barrier(2), []

    def sign_it() -> None:
        start.wait()
        try:
            service.sign(phase=ended, actor=judge, confirmed=confirmed, now=LATER)
        except Refusal as refusal:
            outcomes.append(refusal.code)
        else:
            outcomes.append("signed")

    run_in_threads(sign_it, count=2)
    assert sorted(outcomes) == ["result-reason-missing", "signed"]
    assert FinalResult.objects.get().version == 1
