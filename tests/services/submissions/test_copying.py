"""The best submissions of a settled phase are copied into another one and scored there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse

from challenge.errors import Refusal
from challenge.models import AuditEvent, Evaluation, OutgoingMail, Phase, QuotaLine, Submission
from challenge.rules.roles import Role
from challenge.services import maintenance
from challenge.services.storage import archives
from challenge.services.submissions import copying, evaluations, retention
from tests.factories import (
    NOON,
    give_score,
    make_archive,
    make_card,
    make_challenge,
    make_organiser,
    make_phase,
    make_team,
    submit,
)

pytestmark = pytest.mark.django_db

CLOSE = NOON + timedelta(days=30)
LATER = CLOSE + timedelta(hours=1)


@pytest.fixture
def phases() -> tuple[Phase, Phase]:
    """A settled phase, where Alpha's second and Beta's only submission rank, and a coming one."""
    challenge = make_challenge()
    source = make_phase(challenge, "first", grace_minutes=0)
    target = make_phase(challenge, "final", opens_at=LATER, closes_at=LATER + timedelta(days=9))
    alpha, beta = make_team(challenge, "Alpha"), make_team(challenge, "Beta")
    for team, miou in ((alpha, 0.4), (alpha, 0.6), (beta, 0.5)):
        archive = make_archive(f"{team} {miou}".encode())
        give_score(submit(team, source, archive=archive, method=f"U-Net {miou}"), miou=miou)
    maintenance.sweep(now=LATER)
    return Phase.objects.get(slug="first"), target


def copy(source: Phase, target: Phase, **asked: Any) -> list[Submission]:
    confirmed = copying.plan(source=source, target=target, now=LATER).digest
    actor = make_organiser(source.challenge, role=Role.JUDGE)
    return copying.copy_best(
        **{"source": source, "target": target, "actor": actor, "now": LATER}
        | {"confirmed": confirmed}
        | asked
    )


def test_each_teams_best_is_scored_there_and_nothing_else_is_touched(
    phases: tuple[Phase, Phase],
) -> None:
    source, target = phases
    lines, mails = QuotaLine.objects.count(), OutgoingMail.objects.count()
    copies = copy(source, target)
    assert [one.method_name for one in copies] == ["U-Net 0.6", "U-Net 0.5"]
    assert {one.created_at for one in copies} == {NOON}
    while (claim := evaluations.claim(worker="w", now=LATER)) is not None:
        evaluations.complete_scored(claim.evaluation_id, attempt=1, card=make_card(0.3), now=LATER)
    board = target.rank_lines.values_list("submission__method_name", flat=True)
    assert set(board) == {"U-Net 0.6", "U-Net 0.5"}
    assert source.rank_lines.count() == 2
    assert (QuotaLine.objects.count(), OutgoingMail.objects.count()) == (lines, mails)
    again = copying.plan(source=source, target=target, now=LATER)
    assert [refusal.code for refusal in again.obstacles] == ["copy-nothing"]
    assert len(again.copied_before) == 2
    event = AuditEvent.objects.get(action="phase.copy-best")
    assert event.data["submissions"] == [str(one.pk) for one in copies]


@pytest.mark.django_db(transaction=True)
def test_the_shared_archive_stays_while_either_needs_it(phases: tuple[Phase, Phase]) -> None:
    source, target = phases
    [first, _second] = copy(source, target)
    assert default_storage.exists(first.archive)
    Evaluation.objects.filter(submission=first).update(state="cancelled", finished_at=LATER)
    retention.sweep(now=LATER + timedelta(days=8))
    first.refresh_from_db()
    assert first.archive_removed_at is not None, "the copy lets it go"
    assert default_storage.exists(first.archive), "its original has a rank and keeps it"
    Submission.objects.update(archive_removed_at=LATER)
    archives.delete(first.archive)
    assert not default_storage.exists(first.archive)


def obstacles(source: Phase, target: Phase) -> list[str]:
    return [one.code for one in copying.plan(source=source, target=target, now=LATER).obstacles]


def test_what_stands_against_it_is_named(phases: tuple[Phase, Phase]) -> None:
    source, target = phases
    assert obstacles(source, source) == ["copy-same-phase"]
    assert "copy-source-not-settled" in obstacles(target, source)
    assert obstacles(source, make_phase(source.challenge, "bare", truth=False)) == [
        "phase-not-ready"
    ]
    waiting = Evaluation.objects.filter(submission__method_name="U-Net 0.4")
    waiting.update(state="queued")
    assert obstacles(source, target) == ["result-waits"]
    waiting.update(state="scored")
    truth = target.ground_truth
    assert truth is not None
    truth.patches = [["other", "D", "Z"]]
    truth.save()
    other = make_phase(make_challenge("other"))
    assert obstacles(source, other) == ["copy-same-phase"]


def test_only_what_was_shown_is_copied_by_who_may(phases: tuple[Phase, Phase]) -> None:
    source, target = phases
    for asked, code in (
        ({"confirmed": "0" * 64}, "copy-changed-meanwhile"),
        ({"actor": make_organiser(source.challenge, role=Role.EDITOR)}, "role-missing"),
    ):
        with pytest.raises(Refusal) as refusal:
            copy(source, target, **asked)
        assert refusal.value.code == code
    assert not Submission.objects.filter(entry__phase=target).exists()


def test_the_desk_shows_it_then_copies(phases: tuple[Phase, Phase]) -> None:
    source, target = phases
    client = Client()
    client.force_login(make_organiser(source.challenge, role=Role.JUDGE))
    url = reverse("web:desk-copy", args=[source.challenge.slug, source.slug])
    assert target.slug in client.get(url).content.decode()
    assert client.get(url, {"to": "none"}).status_code == 404
    page = client.get(url, {"to": target.slug})
    digest = page.context["plan"].digest
    stale = client.post(url, {"to": target.slug, "digest": "0" * 64})
    assert (stale.status_code, stale.context["refused"]) == (
        409,
        "Other submissions would be copied now: nothing was copied. Look at them again.",
    )
    assert client.post(url, {"to": target.slug, "digest": digest}).status_code == 302
    assert Submission.objects.filter(entry__phase=target).count() == 2
