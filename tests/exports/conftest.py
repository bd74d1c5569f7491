"""A challenge with everything that an export has, and a way to export it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from challenge.models import (
    Announcement,
    Challenge,
    Page,
    Phase,
    PublishedResult,
    Submission,
    TrainingRun,
    User,
)
from challenge.selectors import final_results as drafts
from challenge.services.challenges import page_editing, phases
from challenge.services.exports import exporting
from challenge.services.exports.exporting import Options
from challenge.services.leaderboard import final_results, ranks
from challenge.services.teams import disqualifications, grants
from tests import factories
from tests.factories import captain_of, give_score, make_archive, make_team, submit

Exporter = Callable[..., Path]
OWN_RECIPE = 'title = "Mine, 30 °C"\n\n[network]\nname = "unet"\n'


@dataclass
class Edition:
    """The challenge "abc": phase "test" settled and signed, phase "next" open on hidden labels."""

    challenge: Challenge
    test: Phase
    next: Phase
    owner: User
    best: Submission


@pytest.fixture
def edition() -> Edition:
    now = timezone.now()
    challenge = factories.make_challenge(
        title={"en": "Land cover", "fr": "Occupation du sol"}, facts={"organiser": "IGN"}
    )
    _write_pages(challenge)
    PublishedResult.objects.create(
        challenge=challenge, name="U-Net", kind="baseline", miou=0.5, class_ious={"a": 0.6}
    )
    begin = now - timedelta(days=9)
    test = factories.make_phase(
        challenge,
        opens_at=begin,
        closes_at=now - timedelta(hours=1),
        precision="phase-closed",
    )
    other = factories.make_phase(
        challenge, "next", opens_at=begin, closes_at=now + timedelta(days=30), sort_order=1
    )
    phases.update_labels_open_until()
    owner = factories.make_organiser(challenge, factories.make_user("olive"))
    best = _compete(test, owner, at=begin + timedelta(days=1))
    _compete(other, owner, at=begin + timedelta(days=1), first=4)
    Announcement.objects.create(
        challenge=challenge,
        title={"en": "Open", "fr": "Ouvert"},
        body={"en": "Go", "fr": "Allez"},
        published_at=begin,
        mail_to=Announcement.MailTo.PARTICIPANTS,
        created_by=owner,
    )
    Phase.objects.filter(pk=test.pk).update(settled_at=now - timedelta(minutes=30))
    for phase in (test, other):
        ranks.recompute(phase=phase, compare=True, now=now)
    test = Phase.objects.select_related("challenge", "task_spec").get(pk=test.pk)
    draft = drafts.draft(test, now=now)
    final_results.sign(phase=test, actor=owner, confirmed=final_results.digest(draft), now=now)
    challenge.refresh_from_db()
    return Edition(challenge, Phase.objects.get(pk=test.pk), other, owner, best)


@pytest.fixture
def export(tmp_path: Path) -> Exporter:
    """Export a challenge into a file."""

    def write(challenge: Challenge, name: str = "export.zip", **options: Any) -> Path:
        made = exporting.prepare(challenge=challenge, actor=None, options=Options(**options))
        (tmp_path / name).write_bytes(b"".join(exporting.stream(made)))
        return tmp_path / name

    return write


def _write_pages(challenge: Challenge) -> None:
    for slug in ("overview", "rules"):
        for language, text in {"en": f"# {slug}", "fr": f"# {slug} en français"}.items():
            page = Page.objects.create(
                challenge=challenge, slug=slug, language=language, title=slug, markdown="Draft"
            )
            page_editing.keep(page, actor=None)
            page.markdown = text
            page.save()
            page_editing.keep(page, actor=None)


def _compete(phase: Phase, owner: User, *, at: Any, first: int = 1) -> Submission:
    """Three teams with two submissions, one that is off, one of organisers, a baseline twice."""
    challenge = phase.challenge
    sent = []
    for number in range(first, first + 3):
        team = make_team(challenge, f"Team {'αβγδεζ'[number - 1]}", affiliation="École & Cie")
        for trial in range(1 if number % 3 else 2):
            when = at + timedelta(hours=number, minutes=trial)
            archive = make_archive(f"{phase.slug}{number}{trial}".encode())
            one = submit(team, phase, at=when, method=f"M{number}.{trial}", archive=archive)
            give_score(one, 0.1234567891234 * number + 0.0171717 * trial)
            sent.append(one)
    twin = make_team(challenge, f"Twin {phase.slug}")
    give_score(submit(twin, phase, at=at + timedelta(hours=8)), 0.97)
    disqualifications.disqualify(team=twin, actor=owner, reason="Jane sent it twice")
    own = make_team(challenge, f"House {phase.slug}", members=[factories.make_user()])
    factories.make_organiser(challenge, captain_of(own), role=factories.Role.OBSERVER)
    give_score(submit(own, phase, at=at + timedelta(hours=9)), 0.91)
    platform = make_team(challenge, f"Platform {phase.slug}", is_platform=True)
    for seed in (1, 2):
        one = submit(platform, phase, at=at + timedelta(hours=10, minutes=seed), is_baseline=True)
        give_score(one, 0.4 + seed / 7)
        text = OWN_RECIPE if seed == 2 else ""
        TrainingRun.objects.create(
            recipe="mine" if text else "flair1-unet-rgb",
            recipe_text=text,
            recipe_digest=hashlib.sha256(text.encode()).hexdigest() if text else "",
            overrides={"training.epochs": 3} if text else {},
            data_root="toy",
            seed=seed,
            submission=one,
            phase=phase,
            state="succeeded",
            queued_at=at,
        )
    if phase.slug == "next":
        grants.give(
            team=sent[0].entry.team,
            phase=phase,
            actor=owner,
            extra_places=2,
            until=timezone.now() + timedelta(days=3),
            reason="power cut",
        )
    return sent[-1]
