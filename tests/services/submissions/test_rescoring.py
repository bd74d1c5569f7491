"""Re-scoring from evidence: a preview that writes nothing, then a published board."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import override_settings

from challenge.errors import Conflict
from challenge.models import (
    AuditEvent,
    Evaluation,
    Phase,
    RankLine,
    Score,
    Submission,
    TaskSpec,
    Team,
)
from challenge.selectors import queue
from challenge.services.submissions import (
    evaluations,
    rescore_previews,
    rescore_publication,
    rescoring,
)
from scoring.engine.metrics import card_builder, evidence
from scoring.engine.metrics.card import ScoreCard
from scoring.engine.metrics.counting import PatchCounter
from scoring.engine.task.examples import abc_spec
from scoring.engine.task.specification import Patch
from scoring.engine.truth import store
from tests.factories import (
    NOON,
    make_card,
    make_organiser,
    make_phase,
    make_task,
    make_team,
    submit,
)

pytestmark = pytest.mark.django_db
IDS = [f"{n:03}" for n in range(6)]
# Half of each patch is A, half is B.
MASK = np.array([[1, 1, 1, 1], [1, 1, 2, 2], [2, 2, 2, 2]], dtype=np.uint8)
# All of A right and none of B; two thirds of both.
ALL_OF_A = np.array([[0, 0, 0, 0], [0, 0, 2, 2], [2, 2, 2, 2]], dtype=np.uint8)
SOME_OF_BOTH = np.array([[0, 0, 0, 0], [2, 2, 1, 1], [1, 1, 2, 2]], dtype=np.uint8)
ONLY_A = [
    {"id": 0, "key": "a", "labels": [1]},
    {"id": 1, "key": "b", "labels": [2], "scored": False},
    {"id": 2, "key": "other", "labels": [3], "scored": False},
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with override_settings(EVIDENCE_DIR=tmp_path):
        yield tmp_path


def make_evidence(path: Path, prediction: np.ndarray) -> ScoreCard:
    """Evidence of six such patches in ``path``, and its card."""
    spec = abc_spec()
    labels = path.parent / "labels.truth"
    if not labels.exists():
        store.from_arrays(
            ((Patch(i, "D001_2020", f"Z{i}_UU"), MASK) for i in IDS), labels, spec=spec
        )
    with store.PackedTruth.open(labels) as truth:
        counter, builder = PatchCounter(truth, n_classes=3), evidence.EvidenceBuilder(spec, truth)
        for patch_id in IDS:
            builder.add(patch_id, counter.count(patch_id, prediction).counts)
        proof = builder.build(content_digest=path.name)
    evidence.save(proof, path)
    return card_builder.build(evidence.load(path))


def make_scored(
    phase: Phase, folder: Path, name: str, prediction: np.ndarray, *, team: Team | None = None
) -> None:
    submit(team or make_team(phase.challenge, name), phase)
    card = make_evidence(folder / name, prediction)
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    evaluations.complete_scored(
        claim.evaluation_id, attempt=1, card=card, evidence_name=name, now=NOON
    )


@pytest.fixture
def phase(folder: Path) -> Phase:
    phase = make_phase()
    make_scored(phase, folder, "wide", SOME_OF_BOTH)
    make_scored(phase, folder, "narrow", ALL_OF_A)
    return phase


@pytest.fixture
def task(phase: Phase) -> TaskSpec:
    return make_task(phase.challenge, classes=ONLY_A)


def board(phase: Phase) -> list[tuple[int | None, str, float]]:
    return [
        (line.rank, line.entry.team.name, round(line.miou, 2))
        for line in RankLine.objects.filter(phase=phase).order_by("-miou", "pk")
    ]


def run(*arguments: str) -> str:
    said = StringIO()
    call_command("rescore_phase", *arguments, stdout=said)
    return said.getvalue()


def test_a_preview_lists_changed_ranks_and_writes_nothing(phase: Phase, task: TaskSpec) -> None:
    before = board(phase)
    assert before == [(1, "wide", 0.67), (2, "narrow", 0.5)]
    found = rescore_previews.preview(phase=phase)
    assert [(c.team, c.rank_before, c.rank_after, c.moves) for c in found.changes] == [
        ("narrow", 2, 1, True),
        ("wide", 1, 2, True),
    ]
    said = run("abc", "test", "--from-evidence", "--preview")
    assert "2 of 2 teams change their rank" in said
    assert "nothing was written" in said
    assert board(phase) == before
    assert Score.objects.count() == 2


def test_a_preview_ranks_by_the_chosen_submissions_only_once_the_phase_is_closed(
    phase: Phase, task: TaskSpec, folder: Path
) -> None:
    # Of "wide" the chosen submission is the worse of two.
    Phase.objects.update(finals_limit=1)
    phase.refresh_from_db()
    assert phase.closes_at is not None
    team = Team.objects.get(name="wide")
    make_scored(phase, folder, "wide again", ALL_OF_A, team=team)
    chosen = team.entries.get().submissions.get(number=1)
    Submission.objects.filter(pk=chosen.pk).update(is_final=True)

    def miou_after(now: datetime) -> dict[str, float | None]:
        found = rescore_previews.preview(phase=phase, now=now)
        return {change.team: round(change.miou_after or 0, 4) for change in found.changes}

    open_at, closed_at = phase.closes_at - timedelta(hours=1), phase.closes_at
    assert miou_after(open_at) == {"wide": 1.0, "narrow": 1.0}
    assert miou_after(closed_at) == {"wide": 0.6667, "narrow": 1.0}
    for now in (open_at, closed_at):
        found = rescore_previews.preview(phase=phase, now=now)
        with transaction.atomic():
            rescore_publication.publish(found, actor=None, now=now)
            assert {line.entry.team.name: line.miou for line in phase.rank_lines.all()} == {
                change.team: change.miou_after for change in found.changes
            }
            transaction.set_rollback(True)


def test_published_it_ranks_anew_and_keeps_the_old_scores(phase: Phase, task: TaskSpec) -> None:
    run("abc", "test", "--from-evidence")
    assert board(phase) == [(1, "narrow", 1.0), (2, "wide", 0.67)]
    phase.refresh_from_db()
    assert phase.task_spec == task
    assert Score.objects.count() == 4
    assert queue.verify().faults == []


def test_without_evidence_the_archive_is_scored_again(
    phase: Phase, task: TaskSpec, folder: Path
) -> None:
    (folder / "wide").unlink()
    (folder / "narrow").write_bytes(b"broken")
    before = board(phase)
    found = rescore_previews.preview(phase=phase)
    assert len(found.missing) == len(found.blocking) == 2
    with pytest.raises(Conflict, match=r"this task: 2\. Nothing was published"):
        rescore_publication.publish(found, actor=None)
    assert board(phase) == before
    rescoring.enqueue(phase=phase, submissions=found.missing, task_spec=task, actor=None)
    for miou in (0.2, 0.1):
        claim = evaluations.claim(worker="w", now=NOON)
        assert claim is not None
        card = make_card(miou)
        evaluations.complete_scored(claim.evaluation_id, attempt=1, card=card, now=NOON)
    found = rescore_previews.preview(phase=phase)
    assert (len(found.recorded), found.missing) == (2, [])
    assert rescore_publication.publish(found, actor=None) == 0
    assert board(phase) == [(1, "wide", 0.2), (2, "narrow", 0.1)]


def test_what_lacks_evidence_stays_behind_by_name_alone(
    phase: Phase, task: TaskSpec, folder: Path
) -> None:
    (folder / "wide").unlink()
    wide = Submission.objects.get(entry__team__name="wide")
    before = board(phase)
    with pytest.raises(CommandError, match="Nothing was published"):
        run("abc", "test", "--from-evidence")
    assert board(phase) == before

    said = run("abc", "test", "--from-evidence", "--partial")

    assert f"left behind: wide, submission 1 ({wide.pk}), until its archive is scored" in said
    assert board(phase) == [(1, "narrow", 1.0)]
    event = AuditEvent.objects.get(action="phase.rescore-publish")
    assert event.data["left_behind"] == [str(wide.pk)]
    assert Evaluation.objects.get(state="queued").submission == wide  # comes back with its score
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    evaluations.complete_scored(
        claim.evaluation_id, attempt=1, card=make_card(0.2), evidence_name="", now=NOON
    )
    assert board(phase) == [(1, "narrow", 1.0), (2, "wide", 0.2)]


def test_only_an_operator_publishes_in_part(phase: Phase, task: TaskSpec, folder: Path) -> None:
    (folder / "wide").unlink()
    owner = make_organiser(phase.challenge)
    found = rescore_previews.preview(phase=phase)

    with pytest.raises(Conflict, match="Nothing was published"):
        rescore_publication.publish(found, actor=owner, partial=True)


def test_what_failed_under_the_new_task_keeps_its_line_until_it_is_left_behind(
    phase: Phase, task: TaskSpec
) -> None:
    before = board(phase)
    run("abc", "test")
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    evaluations.complete_scored(claim.evaluation_id, attempt=1, card=make_card(0.2), now=NOON)
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    evaluations.mark_failed(claim.evaluation_id, attempt=1, code="internal", now=NOON)

    with pytest.raises(CommandError, match="1 submissions on the board"):
        run("abc", "test", "--publish")
    assert board(phase) == before
    assert "left behind: narrow" in run("abc", "test", "--publish", "--partial")
    assert board(phase) == [(1, "wide", 0.2)]


def test_through_the_queue_the_board_stands_until_all_are_scored(
    phase: Phase, task: TaskSpec
) -> None:
    before = board(phase)
    assert "--publish" in run("abc", "test")
    assert Evaluation.objects.filter(state="queued", task_spec=task, priority=1).count() == 2
    for left in (2, 1):
        with pytest.raises(CommandError, match=f"{left} submissions on the board"):
            run("abc", "test", "--publish")
        claim = evaluations.claim(worker="w", now=NOON)
        assert claim is not None
        evaluations.complete_scored(
            claim.evaluation_id, attempt=1, card=make_card(0.1 * left), now=NOON
        )
        assert board(phase) == before
    run("abc", "test", "--publish")
    assert board(phase) == [(1, "wide", 0.2), (2, "narrow", 0.1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("abc", "nowhere"), "there are: abc/test"),
        (("abc", "test", "--preview"), "goes with --from-evidence"),
        (("abc", "test", "--partial"), "goes with --publish or --from-evidence"),
        (("abc", "test", "--task", "9"), "there are: 1"),
        (("abc", "test"), "no submission to score again"),
    ],
)
def test_mistakes_are_named(phase: Phase, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run(*arguments)


def test_the_queue_verifies_and_a_forged_state_does_not(phase: Phase) -> None:
    said = StringIO()
    call_command("verify_queue", stdout=said)
    assert "2 evaluations checked: no fault" in said.getvalue()
    Evaluation.objects.filter(pk=Evaluation.objects.first().pk).update(state="failed")
    with pytest.raises(CommandError, match="faults in 2"):
        call_command("verify_queue", stderr=StringIO())


def test_the_sweep_by_hand(phase: Phase) -> None:
    said = StringIO()
    call_command("sweep", stdout=said)
    assert "0 queued again" in said.getvalue()
