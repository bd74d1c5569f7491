"""A crowd for the benchmarks: the seeded FLAIR #1 filled up with teams and scored submissions."""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta
from typing import Any, cast

import numpy as np
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from challenge.models import (
    Entry,
    Evaluation,
    EvaluationEvent,
    Membership,
    Phase,
    QuotaLine,
    RankLine,
    Registration,
    Score,
    Submission,
    Team,
    User,
)
from challenge.services.leaderboard import ranks
from challenge.services.submissions import scores
from scoring.engine.metrics.card import ScoreCard
from tests.web import seed

BATCH = 500
PLACES = "Aigle Brenne Causse Drôme Esterel Forez Guérande Hautes-Vosges Iroise Jura Larzac Morvan"
KINDS = "Pixels Lab Cartographie Segmenters Vision Tuiles Canopée Raster Bocage Orthophoto"
METHODS = (
    "U-Net ResNet-34", "U-Net EfficientNet-B4, TTA", "SegFormer-B3, 5 channels", "HRNet-OCR",
    "DeepLabV3+ ResNet-101", "Swin-B UPerNet + nDSM branch", "ConvNeXt-S UPerNet, ensemble of 5",
)  # fmt: skip


def populate(*, teams: int, submissions: int) -> Phase:
    """Empty the database and fill the test phase of FLAIR #1: so many ranked teams and submissions.

    The first are ``tests.web.seed``'s, whose score cards the others borrow; each has its own
    figures, fact sheet, ledger and history.
    """
    call_command("flush", interactive=False, verbosity=0)
    phase = seed.populate()
    crowd(phase, teams=teams, submissions=submissions)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    phase.refresh_from_db()
    return phase


def crowd(phase: Phase, *, teams: int, submissions: int) -> None:
    """Add ranked teams and scored submissions to a phase until there are so many of each."""
    random = np.random.default_rng(11 + submissions)
    ranked = RankLine.objects.filter(phase=phase, rank__isnull=False).count()
    missing = submissions - Submission.objects.filter(entry__phase=phase).count()
    with transaction.atomic():
        entries = _make_entries(phase, teams - ranked)
        # everybody submits once; the others fall to teams as they come, some eager, some not
        eagerness = random.dirichlet(np.full(len(entries), 1.5))
        extra = random.choice(len(entries), size=missing - len(entries), p=eagerness)
        order = [*range(len(entries)), *(int(one) for one in extra)]
        _make_submissions(phase, [entries[one] for one in order], random)
    ranks.recompute(phase=phase)


def _make_entries(phase: Phase, count: int) -> list[Entry]:
    now = timezone.now()
    first = User.objects.filter(username__startswith="crowd-").count()
    numbers = range(first, first + count)
    users = User.objects.bulk_create(
        User(username=f"crowd-{n}", email=f"crowd-{n}@example.org", password="!") for n in numbers
    )
    teams = Team.objects.bulk_create(
        Team(
            challenge=phase.challenge,
            name=_team_name(n),
            affiliation="" if n % 2 else "Université",
        )
        for n in numbers
    )
    Membership.objects.bulk_create(
        Membership(team=team, user=user, challenge=phase.challenge, role=Membership.Role.CAPTAIN)
        for team, user in zip(teams, users, strict=True)
    )
    Registration.objects.bulk_create(
        Registration(
            challenge=phase.challenge,
            user=user,
            terms_version=phase.challenge.terms_version,
            accepted_at=now,
        )
        for user in users
    )
    return Entry.objects.bulk_create(Entry(team=team, phase=phase) for team in teams)


def _team_name(number: int) -> str:
    places, kinds = PLACES.split(), KINDS.split()
    kind, place = number % len(kinds), number // len(kinds) % len(places)
    more = number // (len(kinds) * len(places))
    return f"{places[place]} {kinds[kind]}{f' {more + 1}' if more else ''}"


def _make_submissions(phase: Phase, entries: list[Entry], random: np.random.Generator) -> None:
    now = timezone.now()
    cards = [
        score.card
        for score in Score.objects.filter(evaluation__submission__entry__phase=phase)
        if not score.card["zones"]  # a tenth of the bytes; one card of each team has them
    ]
    numbers: dict[int, int] = {}
    made = []
    first = Submission.objects.count()
    for position, entry in enumerate(entries):
        numbers[entry.pk] = numbers.get(entry.pk, 0) + 1
        digest = hashlib.sha256(f"crowd {first + position}".encode()).hexdigest()
        made.append(
            Submission(
                id=uuid.UUID(digest[:32], version=4),
                entry=entry,
                number=numbers[entry.pk],
                created_at=now - timedelta(minutes=25 * (len(entries) - position)),
                archive=f"seed/{digest}.zip",
                archive_sha256=digest,
                archive_bytes=342_000_000,
                original_name="predictions.zip",
                method_name=METHODS[position % len(METHODS)],
            )
        )
    for start in range(0, len(made), BATCH):
        _score(phase, Submission.objects.bulk_create(made[start : start + BATCH]), cards, random)


def _score(
    phase: Phase, batch: list[Submission], cards: list[dict[str, Any]], random: np.random.Generator
) -> None:
    evaluations = Evaluation.objects.bulk_create(
        Evaluation(
            submission=one,
            ground_truth=phase.ground_truth,
            task_spec=phase.task_spec,
            state="scored",
            attempt=1,
            queued_at=one.created_at,
            started_at=one.created_at + timedelta(seconds=3),
            finished_at=one.created_at + timedelta(seconds=90),
        )
        for one in batch
    )
    moves = (("", "queued", 0), ("queued", "scoring", 3), ("scoring", "scored", 90))
    EvaluationEvent.objects.bulk_create(
        EvaluationEvent(
            evaluation=one,
            from_state=old,
            to_state=new,
            attempt=1,
            at=one.queued_at + timedelta(seconds=seconds),
        )
        for one in evaluations
        for old, new, seconds in moves
    )
    QuotaLine.objects.bulk_create(
        QuotaLine(
            entry=one.entry,
            submission=one,
            move=move,
            day=one.created_at.date(),
            at=one.created_at,
        )
        for one in batch
        for move in ("reserved", "consumed")
    )
    Score.objects.bulk_create(
        _make_score(one, cards[int(random.integers(len(cards)))], random.normal(0, 0.03))
        for one in evaluations
    )


def _make_score(evaluation: Evaluation, card: dict[str, Any], shift: float) -> Score:
    def moved(value: float | None) -> float | None:
        return None if value is None else min(0.99, max(0.01, value + shift))

    assert evaluation.finished_at is not None
    low, high = card["intervals"]["miou"] or (None, None)
    measured = {
        "miou": moved(card["miou"]),
        "overall_accuracy": moved(card["overall_accuracy"]),
        "mean_f1": moved(card["mean_f1"]),
    }
    own = card | measured
    own |= {
        "content_digest": evaluation.submission.archive_sha256,
        "intervals": {"miou": [moved(low), moved(high)]},
        "classes": [one | {"iou": moved(one["iou"])} for one in card["classes"]],
    }
    rounded = scores.round_card(evaluation.ground_truth, cast("ScoreCard", own))
    return Score(
        evaluation=evaluation,
        **measured,
        miou_low=moved(low),
        miou_high=moved(high),
        rounded_miou=rounded["miou"],
        rounded=rounded,
        class_ious={one["key"]: moved(one["iou"]) for one in card["classes"] if one["scored"]},
        domain_mious={name: domain["miou"] for name, domain in card["domains"].items()},
        card=card,
        engine_version=card["engine_version"],
        content_digest=evaluation.submission.archive_sha256,
        seconds=card["seconds"],
        created_at=evaluation.finished_at,
    )
