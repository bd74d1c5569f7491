"""Changes of phases: consequences confirmed under the row's lock, new phases, time zones."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from threading import Barrier

import pytest
from django.test import Client

from challenge.errors import Refusal
from challenge.models import AuditEvent, Phase
from challenge.rules.roles import Role
from challenge.services.challenges import phases, publishing, time_zones
from tests.factories import (
    NOON,
    change_phase,
    give_score,
    make_challenge,
    make_organiser,
    make_phase,
    make_task,
    make_team,
    submit,
)
from tests.helpers import run_in_threads

pytestmark = pytest.mark.django_db


def refused(code: str, **asked: object) -> None:
    with pytest.raises(Refusal) as refusal:
        phases.change(**asked)  # type: ignore[arg-type]
    assert refusal.value.code == code


def test_a_change_without_consequences_is_saved_at_once(phase: Phase) -> None:
    editor = make_organiser(phase.challenge, role=Role.EDITOR)
    assert phases.change(
        phase=phase, actor=editor, changes={"sort_order": 3, "detail": "full"}
    ) == ["sort_order"]


def test_a_change_with_consequences_is_saved_as_it_was_confirmed_alone(phase: Phase) -> None:
    editor = make_organiser(phase.challenge, role=Role.EDITOR)
    team = make_team(phase.challenge)
    submit(team, phase)
    asked = {"phase": phase, "actor": editor, "changes": {"closes_at": NOON}, "now": NOON}
    refused("phase-unconfirmed", **asked)
    seen = phases.preview(**asked)  # type: ignore[arg-type]
    assert [str(one.code) for one in seen.consequences] == ["closes", "queue-waits"]
    submit(team, phase, at=NOON + timedelta(seconds=1))  # two wait now: another fact
    refused("phase-confirmation-stale", **asked, confirmed=seen.confirmation)
    assert Phase.objects.get().closes_at != NOON
    seen = phases.preview(**asked)  # type: ignore[arg-type]
    other = {**asked, "changes": {"closes_at": NOON - timedelta(hours=1)}}
    refused("phase-confirmation-stale", **other, confirmed=seen.confirmation)
    assert phases.change(**asked, confirmed=seen.confirmation) == ["closes_at"]  # type: ignore[arg-type]
    event = AuditEvent.objects.get(action="phase.change")
    assert event.data["confirmed"] == ["closes", "queue-waits"]


def test_another_editors_save_makes_form_and_confirmation_stale(phase: Phase) -> None:
    editor = make_organiser(phase.challenge, role=Role.EDITOR)
    asked = {"phase": phase, "actor": editor, "changes": {"visibility": "organisers"}}
    seen, confirmation = phases.fingerprint(phase), phases.preview(**asked).confirmation  # type: ignore[arg-type]
    change_phase(phase, make_organiser(phase.challenge), {"total_limit": 40})
    refused("phase-confirmation-stale", **asked, confirmed=confirmation)
    plain = {"phase": phase, "actor": editor, "changes": {"sort_order": 9}}
    refused("phase-changed-meanwhile", **plain, seen=seen)
    assert Phase.objects.get().visibility == "public"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": "just text"}, "phase-text-invalid"),
        ({"name": {"en": " "}}, "phase-text-invalid"),
        ({"name": {"de": "x"}}, "phase-text-invalid"),
        ({"summary": ["x"]}, "phase-text-invalid"),
        ({"visibility": "all"}, "phase-choice-invalid"),
        ({"grace_minutes": 4}, "phase-grace-invalid"),
        ({"daily_limit": 0}, "phase-limit-invalid"),
        ({"closes_at": NOON - timedelta(days=9)}, "phase-window-invalid"),
        ({"slug": "x"}, "phase-field-unknown"),
    ],
)
def test_values_that_break_something_are_refused(
    phase: Phase, changes: dict[str, object], code: str
) -> None:
    owner = make_organiser(phase.challenge)
    refused(code, phase=phase, actor=owner, changes=changes, now=NOON)
    assert Client().get("/api/v1/challenges/abc").status_code == 200


def test_a_phase_is_added_after_creation(phase: Phase) -> None:
    editor = make_organiser(phase.challenge, role=Role.EDITOR)
    values = {
        "name": {"en": "Final", "fr": "Finale"},
        "opens_at": NOON + timedelta(days=40),
        "closes_at": NOON + timedelta(days=50),
    }
    asked = {"challenge": phase.challenge, "actor": editor, "values": values}
    made = phases.create(**asked, slug="final")  # type: ignore[arg-type]
    assert (made.is_published, made.ground_truth, made.task_spec) == (
        False,
        None,
        phase.task_spec,
    )
    for slug, code in (
        ("final", "phase-slug-taken"),
        ("new", "phase-slug-invalid"),
        ("A b", "phase-slug-invalid"),
    ):
        with pytest.raises(Refusal) as refusal:
            phases.create(**asked, slug=slug)  # type: ignore[arg-type]
        assert refusal.value.code == code
    judge = make_organiser(phase.challenge, role=Role.JUDGE)
    with pytest.raises(Refusal, match="role"):
        phases.create(**{**asked, "actor": judge}, slug="more")  # type: ignore[arg-type]


def test_the_time_zone_is_a_known_one(phase: Phase) -> None:
    editor = make_organiser(phase.challenge, role=Role.EDITOR)
    with pytest.raises(Refusal, match="no time zone"):
        time_zones.set_time_zone(challenge=phase.challenge, actor=editor, time_zone="Paris")
    assert time_zones.set_time_zone(
        challenge=phase.challenge, actor=editor, time_zone="Europe/Paris"
    )
    phase.refresh_from_db()
    assert phase.closes_at == NOON + timedelta(days=30)


def test_a_frozen_board_follows_the_change_at_once(phase: Phase) -> None:
    give_score(submit(make_team(phase.challenge), phase, at=NOON + timedelta(hours=2)))
    assert phase.rank_lines.count() == 1
    owner = make_organiser(phase.challenge)
    change_phase(phase, owner, {"frozen_at": NOON})
    assert phase.rank_lines.count() == 0
    change_phase(phase, owner, {"frozen_at": None})
    assert phase.rank_lines.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_editors_who_confirmed_at_once_one_is_told() -> None:
    phase = make_phase(make_challenge())
    editors = [make_organiser(phase.challenge, role=Role.EDITOR) for _ in range(4)]
    wanted = [NOON + timedelta(days=day) for day in (1, 2, 3, 4)]
    confirmed = [
        phases.preview(phase=phase, actor=editor, changes={"closes_at": at}, now=NOON).confirmation
        for editor, at in zip(editors, wanted, strict=True)
    ]
    barrier, todo, saved = Barrier(4), [0, 1, 2, 3], []

    def save() -> None:
        n = todo.pop()
        barrier.wait(30)
        with contextlib.suppress(Refusal):
            phases.change(
                phase=Phase.objects.select_related("challenge").get(),
                actor=editors[n],
                changes={"closes_at": wanted[n]},
                confirmed=confirmed[n],
                now=NOON,
            )
            saved.append(wanted[n])

    run_in_threads(save, count=4)
    assert saved == [Phase.objects.get().closes_at]
    assert AuditEvent.objects.filter(action="phase.change").count() == 1


def test_a_challenge_without_its_needed_pages_or_a_task_is_not_published() -> None:
    challenge = make_challenge(is_published=False)
    owner = make_organiser(challenge)
    with pytest.raises(Refusal, match="overview, rules"):
        publishing.set_published(challenge=challenge, actor=owner, published=True)
    for slug in ("overview", "rules"):
        challenge.pages.create(slug=slug, language="en", title=slug, markdown=slug)
    with pytest.raises(Refusal, match="task is not written"):
        publishing.set_published(challenge=challenge, actor=owner, published=True)
    make_task(challenge)
    assert publishing.set_published(challenge=challenge, actor=owner, published=True)
    assert challenge.was_published
