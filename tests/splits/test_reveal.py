"""A phase with private zones, from real archives to the reveal."""

from __future__ import annotations

import io
import logging
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from challenge.models import (
    AuditEvent,
    Evaluation,
    GroundTruth,
    Phase,
    RankLine,
    Score,
    Submission,
    Team,
    User,
)
from challenge.services import maintenance
from challenge.services.storage import archives
from challenge.services.submissions import evaluations, retention, reveal, submissions
from challenge.services.submissions.reveal import RevealError
from scoring.engine.metrics import card_builder, evidence
from scoring.engine.truth import split as splits
from scoring.engine.truth.split import CountedZones
from tests.factories import captain_of, make_organiser, make_team, make_user
from tests.helpers import refused
from tests.permissions.world import Visitor, World, address, body_of, routes
from tests.splits.test_install import dump
from tests.splits.world import SplitWorld

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Scored:
    """Alpha is best on the public zones, Beta on the private ones; each has one submission."""

    world: SplitWorld
    alpha: Team
    beta: Team
    first: Submission
    second: Submission


def wrong(ids: list[str], pixels: int) -> dict[str, int]:
    return dict.fromkeys(ids, pixels)


@pytest.fixture
def scored(world: SplitWorld) -> Scored:
    world.install("--public-share", "0.5", "--split-seed", "7")
    public, private = (world.ids(z) for z in (CountedZones.PUBLIC, CountedZones.PRIVATE))
    challenge = world.phase.challenge
    alpha, beta = make_team(challenge, "Alpha"), make_team(challenge, "Beta")
    first = world.submit(alpha, wrong_px=wrong(public, 1) | wrong(private, 23))
    second = world.submit(beta, wrong_px=wrong(public, 9) | wrong(private, 3))
    assert world.score() == 2
    return Scored(world, alpha, beta, first, second)


def close(world: SplitWorld) -> None:
    Phase.objects.filter(pk=world.phase.pk).update(
        opens_at=timezone.now() - timedelta(days=9),
        closes_at=timezone.now() - timedelta(minutes=1),
        grace_minutes=0,
    )
    maintenance.sweep()


def reveal_now(world: SplitWorld, *words: str) -> str:
    out = io.StringIO()
    call_command("reveal_private_zones", "tiny", "test", *words, stdout=out)
    return out.getvalue()


def cards(world: SplitWorld, submission: Submission) -> dict[CountedZones, dict[str, Any]]:
    """Return the cards of all, public and private zones, from the kept evidence."""
    score = submission.evaluations.order_by("pk")[0].score
    found = evidence.load(world.evidence_dir / score.evidence_name)
    return {
        zones: dict(card_builder.build_counted(found, world.split, zones=zones))
        for zones in CountedZones
    }


def ranking(world: SplitWorld) -> list[tuple[int | None, str, int | None]]:
    lines = RankLine.objects.filter(phase=world.phase).order_by("rank")
    return [(line.rank, line.entry.team.name, line.public_rank) for line in lines]


def test_scores_count_the_public_zones_alone(scored: Scored) -> None:
    for submission in (scored.first, scored.second):
        score = Score.objects.get(evaluation__submission=submission)
        public = cards(scored.world, submission)[CountedZones.PUBLIC]
        assert score.counted_zones == CountedZones.PUBLIC
        assert score.miou == public["miou"]
        assert score.card | {"seconds": 0} == public | {"seconds": 0}
        assert (score.card["zones"], score.card["domains"], score.domain_mious) == ({}, {}, {})
    assert [name for _rank, name, _public in ranking(scored.world)] == ["Alpha", "Beta"]


def test_a_patch_of_a_private_zone_is_wanted_all_the_same(world: SplitWorld) -> None:
    world.install("--public-share", "0.5")
    data = world.archive({})
    name = f"PRED_{world.ids(CountedZones.PRIVATE)[0]}.tif".encode()
    team = make_team(world.phase.challenge)
    short = archives.store(
        io.BytesIO(data.replace(name, b"PRED_999999.tif")),
        original_name="a.zip",
        limit_bytes=1 << 20,
    )
    submission = submissions.submit(
        user=captain_of(team),
        phase=world.phase,
        archive=short,
        method=submissions.MethodFacts("m"),
    )
    world.score()
    assert submission.evaluations.get().state == "rejected"


def private_values(scored: Scored) -> re.Pattern[str]:
    """Return what tells a value of private or of all zones: four digits, in per cent or not."""
    values = []
    for submission in (scored.first, scored.second):
        by_zones = cards(scored.world, submission)
        for zones in (CountedZones.ALL, CountedZones.PRIVATE):
            card = by_zones[zones]
            values += [card["miou"], card["overall_accuracy"], *(c["iou"] for c in card["classes"])]
    digits = {f"{value:.6f}"[2:6] for value in values if value}
    assert len(digits) > 8
    # Not within a time of day, 12:34:56.789.
    return re.compile(
        "|".join(rf"(?<![:\d])0[.,]{d}|(?<![:\d]){d[:2]}[.,]{d[2:]}(?!\d)" for d in digits)
    )


def everything_seen(scored: Scored) -> dict[str, str]:
    """Return the answer of every address to everybody, before anything is revealed."""
    world, organiser = scored.world, make_user("organiser")
    challenge = world.phase.challenge
    make_organiser(challenge, organiser)
    people: dict[str, User | None] = {
        "anonymous": None,
        "captain": captain_of(scored.alpha),
        "organiser": organiser,
        "operator": make_user("operator", is_superuser=True),
    }
    arguments = dict.fromkeys(("act", "token", "token_pk", "webhook_id", "run_id"), "1")
    arguments |= {"number": "0", "n": "0", "kind": "image", "stamp": "20260101T000000Z"}
    arguments |= {"at": "20260101T000000Z", "person_id": "1"}
    arguments |= dict.fromkeys(
        (
            *("invitation_id", "request_id", "registration_id", "message_id"),
            *("entry_id", "grant_id", "document_id", "file_name"),
        ),
        "1",
    )
    arguments |= {
        "slug": "tiny",
        "challenge": "tiny",
        "phase": "test",
        "phase_slug": "test",
        "page_slug": "overview",
        "site_page": "legal",
        "language": "en",
        "version_id": "1",
        "pk": str(scored.first.pk),
        "submission_id": str(scored.first.pk),
        "upload_id": str(scored.first.pk),
        "team_id": str(scored.alpha.pk),
        "target": "test",
        "username": people["captain"].username,  # type: ignore[union-attr]
    }
    walk = World(challenge, world.phase, scored.alpha, {}, scored.first, arguments)
    urls = {address(route, walk) for method, route in routes() if method == "GET"}
    urls |= {"/api/v1/challenges/tiny/phases/test/leaderboard?format=csv"}
    seen = {}
    for role, user in people.items():
        visitor = Visitor(user)
        mine = set(urls)
        if role == "operator":
            for model in admin.site._registry:
                name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
                mine.add(reverse(f"{name}_changelist"))
                if model in (Evaluation, Score, Submission, GroundTruth, Phase):
                    keys = model._default_manager.values_list("pk", flat=True)
                    mine |= {reverse(f"{name}_change", args=[pk]) for pk in keys}
        for url in sorted(mine):
            answer = visitor.ask("GET", url)
            seen[f"{role} {url}"] = f"{dict(answer.headers)}\n{body_of(answer)}"
    return seen


def test_private_values_are_nowhere_before_the_reveal(
    scored: Scored, caplog: pytest.LogCaptureFixture
) -> None:
    found = private_values(scored)
    for moment in ("open", "closed"):
        seen = everything_seen(scored) if moment == "open" else {}
        if moment == "closed":
            close(scored.world)
        assert not [where for where, text in seen.items() if found.search(text)], moment
        rows = [line for line in dump().splitlines() if found.search(line)]
        assert not rows, moment
    assert not found.search(caplog.text)
    assert scored.world.split.nonce not in dump()


def test_the_search_finds_what_is_there(scored: Scored) -> None:
    """The same search finds the private values once they are revealed."""
    found = private_values(scored)
    close(scored.world)
    reveal_now(scored.world)
    assert [line for line in dump().splitlines() if found.search(line)]


def test_one_private_label_more_or_less_changes_no_answer(
    world: SplitWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private patch's predictions differ in a pixel, and no row or answer but their digests."""
    world.install("--public-share", "0.5", "--split-seed", "7")
    private = world.ids(CountedZones.PRIVATE)
    rows = []
    for pixels in (20, 21):
        submission = world.submit(wrong_px={private[0]: pixels})
        world.score()
        score = Score.objects.get(evaluation__submission=submission)
        # Digest and predicted pixels are the upload's own.
        card = {k: v for k, v in score.card.items() if k not in ("content_digest", "seconds")}
        card.pop("predicted_frequencies")
        for line in card["classes"]:
            line.pop("predicted_pixels")
        rows.append((score.miou, score.class_ious, score.overall_accuracy, score.mean_f1, card))
    assert rows[0] == rows[1]


def test_the_reveal_ranks_by_the_private_zones(scored: Scored) -> None:
    close(scored.world)
    said = reveal_now(scored.world)
    assert "2 submissions scored, 0 left out" in said
    phase = scored.world.phase
    assert phase.counted_zones == CountedZones.PRIVATE
    assert phase.revealed_at is not None
    assert ranking(scored.world) == [(1, "Beta", 2), (2, "Alpha", 1)]
    for submission in (scored.first, scored.second):
        by_zones = cards(scored.world, submission)
        private = Score.objects.get(
            evaluation__submission=submission, counted_zones=CountedZones.PRIVATE
        )
        assert private.miou == by_zones[CountedZones.PRIVATE]["miou"]
        line = RankLine.objects.get(submission=submission)
        assert line.miou == private.miou
        assert line.public_miou == by_zones[CountedZones.PUBLIC]["miou"]
    event = AuditEvent.objects.get(action="phase.reveal")
    assert event.data["scores"] == 2


def test_the_reveal_opens_the_commitment(scored: Scored) -> None:
    before = GroundTruth.objects.get()
    close(scored.world)
    reveal_now(scored.world)
    after = GroundTruth.objects.get()
    assert after.split_commitment == before.split_commitment
    assert splits.opens(
        before.split_commitment, public_zones=after.public_zones, nonce=after.split_nonce
    )


def test_a_second_call_has_nothing_to_do(scored: Scored) -> None:
    close(scored.world)
    reveal_now(scored.world)
    rows = Score.objects.count()
    assert "was revealed already" in reveal_now(scored.world)
    assert Score.objects.count() == rows
    assert AuditEvent.objects.filter(action="phase.reveal").count() == 1


def state() -> list[Any]:
    return [
        list(Score.objects.order_by("pk").values_list("pk", "miou", "counted_zones")),
        list(Phase.objects.values_list("counted_zones", "revealed_at", "ranks_version")),
        list(RankLine.objects.order_by("pk").values_list("pk", "rank", "miou", "public_rank")),
        list(GroundTruth.objects.values_list("public_zones", "split_nonce")),
        Evaluation.objects.count(),
        AuditEvent.objects.count(),
    ]


def test_killed_midway_nothing_is_published(
    scored: Scored, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(scored.world)
    before = state()

    class Killed(BaseException):
        pass

    written: list[int] = []
    private = Score.objects.filter(counted_zones=CountedZones.PRIVATE)

    def die(*_args: Any) -> None:
        written.append(private.count())
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(reveal, "_open", die)
        with pytest.raises(Killed):
            reveal_now(scored.world)
    assert written == [2]
    assert state() == before
    reveal_now(scored.world)
    assert ranking(scored.world) == [(1, "Beta", 2), (2, "Alpha", 1)]


def test_missing_and_foreign_evidence_is_made_again_from_the_archives(scored: Scored) -> None:
    close(scored.world)
    wanted = {
        s.pk: cards(scored.world, s)[CountedZones.PRIVATE] for s in (scored.first, scored.second)
    }
    one, other = sorted(scored.world.evidence_dir.iterdir())
    one.write_bytes(other.read_bytes())
    other.unlink()
    reveal_now(scored.world)
    for pk, card in wanted.items():
        private = Score.objects.get(evaluation__submission=pk, counted_zones=CountedZones.PRIVATE)
        assert private.miou == card["miou"]


def test_it_publishes_nothing_until_all_are_there(scored: Scored) -> None:
    close(scored.world)
    score = Score.objects.get(evaluation__submission=scored.first)
    (scored.world.evidence_dir / score.evidence_name).unlink()
    archives.default_storage.delete(scored.first.archive)
    before = state()
    with pytest.raises(CommandError, match=r"1 of 2 submissions cannot be scored .*\n.*Alpha #1"):
        reveal_now(scored.world)
    assert state() == before
    said = reveal_now(scored.world, "--partial")
    assert "left out: Alpha #1" in said
    assert ranking(scored.world) == [(1, "Beta", 2)] or ranking(scored.world) == [(1, "Beta", 1)]


@pytest.mark.parametrize("why", ["open", "waiting", "no list"])
def test_it_is_refused_before_its_time(scored: Scored, why: str, settings: Any) -> None:
    if why == "waiting":
        scored.world.submit(scored.alpha)
    if why != "open":
        close(scored.world)
    if why == "no list":
        (scored.world.labels_dir / splits.file_name(scored.world.truth.split_commitment)).unlink()
    said = {
        "open": "closes at 2030-01-01",
        "waiting": "without a verdict: 1",
        "no list": "copy .*split there",
    }[why]
    before = state()
    with pytest.raises(CommandError, match=said):
        reveal_now(scored.world)
    assert state() == before


def test_a_phase_without_private_zones_has_nothing_to_reveal(world: SplitWorld) -> None:
    world.install()
    with pytest.raises(RevealError, match="has no private zones"):
        reveal.reveal(phase=world.phase)


def test_archives_stay_until_the_reveal(scored: Scored) -> None:
    world = scored.world
    worse = world.submit(scored.alpha, wrong_px=wrong(world.ids(CountedZones.ALL), 30))
    world.score()
    with pytest.raises(Exception, match="until the private zones of its phase are revealed"):
        retention.remove_archive(submission=worse, actor=captain_of(scored.alpha))
    close(world)
    later = timezone.now() + timedelta(days=400)
    assert retention.sweep(now=later).archives == 0
    reveal_now(world)
    assert retention.sweep(now=later).archives == 1
    worse.refresh_from_db()
    assert worse.archive_removed_at == later


def test_of_a_team_the_submission_that_was_best_in_public_counts(scored: Scored) -> None:
    """The best of many private values would reward submitting often (decision 341)."""
    world = scored.world
    public = world.ids(CountedZones.PUBLIC)
    lucky = world.submit(scored.alpha, wrong_px=wrong(public, 20))
    world.score()
    close(world)
    reveal_now(world)
    line = RankLine.objects.get(entry__team=scored.alpha)
    assert line.submission_id == scored.first.pk
    private = Score.objects.get(evaluation__submission=lucky, counted_zones=CountedZones.PRIVATE)
    assert private.miou == 1.0
    assert line.miou < private.miou


def test_a_worker_that_counted_the_public_zones_is_late_after_the_reveal(scored: Scored) -> None:
    world = scored.world
    third = world.submit(scored.alpha)
    claim = evaluations.claim(worker="slow")
    assert claim is not None
    assert claim.zones is CountedZones.PUBLIC
    Phase.objects.update(revealed_at=timezone.now(), counted_zones=CountedZones.PRIVATE.value)
    card = cards(world, scored.first)[CountedZones.PUBLIC]
    for zones in (CountedZones.PUBLIC, CountedZones.ALL):
        with refused("late-worker"):
            evaluations.complete_scored(
                claim.evaluation_id,
                attempt=claim.attempt,
                card=card,  # type: ignore[arg-type]
                zones=zones,
            )
    assert not Score.objects.filter(evaluation__submission=third).exists()


def test_a_worker_without_the_list_leaves_it_to_another(
    world: SplitWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.install("--public-share", "0.5")
    path = world.labels_dir / splits.file_name(world.truth.split_commitment)
    kept = path.read_bytes()
    path.unlink()
    submission = world.submit()
    with caplog.at_level(logging.ERROR):
        assert world.score() == 0
    evaluation = submission.evaluations.get()
    assert (evaluation.state, evaluation.attempt) == ("queued", 0)
    assert f"this worker lacks: {world.truth.store_name} or its .split file" in caplog.text
    path.write_bytes(kept)
    world.score()
    assert submission.evaluations.get().state == "scored"


def test_cached_answers_do_not_outlive_the_reveal(scored: Scored) -> None:
    url = "/api/v1/challenges/tiny/phases/test/leaderboard"
    close(scored.world)
    before = Visitor(None).ask("GET", url).json()
    reveal_now(scored.world)
    after = Visitor(None).ask("GET", url).json()
    assert [row["team"] for row in before["rows"]] == ["Alpha", "Beta"]
    assert [row["team"] for row in after["rows"]] == ["Beta", "Alpha"]
    cache.clear()
