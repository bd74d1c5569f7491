"""A re-score from the desk: preview by a worker, confirmation, publication; and what stops it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from challenge.errors import Conflict, NotAllowed, Refusal
from challenge.models import (
    AuditEvent,
    Evaluation,
    Phase,
    Rescore,
    Score,
    Submission,
    TaskSpec,
    User,
)
from challenge.rules.roles import Role
from challenge.selectors import queue
from challenge.selectors import rescores as selector
from challenge.services import maintenance
from challenge.services.submissions import (
    disqualifications,
    evaluations,
    rescore_publication,
    rescores,
    rescoring,
)
from challenge.services.submissions.rescores import Claim
from tests import factories
from tests.factories import NOON, make_card, make_task, make_team, submit
from tests.helpers import refused
from tests.services.submissions.test_rescoring import (
    ALL_OF_A,
    ONLY_A,
    SOME_OF_BOTH,
    board,
    make_scored,
)

pytestmark = pytest.mark.django_db
EVIDENCE, ARCHIVES = Rescore.Method.EVIDENCE, Rescore.Method.ARCHIVES


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with override_settings(EVIDENCE_DIR=tmp_path):
        yield tmp_path


@pytest.fixture
def phase(folder: Path) -> Phase:
    phase = factories.make_phase()
    make_scored(phase, folder, "wide", SOME_OF_BOTH)
    make_scored(phase, folder, "narrow", ALL_OF_A)
    return phase


@pytest.fixture
def task(phase: Phase) -> TaskSpec:
    return make_task(phase.challenge, classes=ONLY_A)


@pytest.fixture
def owner(phase: Phase) -> User:
    return factories.make_organiser(phase.challenge)


def ask(phase: Phase, task: TaskSpec, owner: User, method: Rescore.Method = EVIDENCE) -> Rescore:
    assert phase.ground_truth is not None
    wanted = {"phase": phase, "ground_truth": phase.ground_truth, "task_spec": task}
    confirmed = rescoring.plan(**wanted).confirmation if method is ARCHIVES else ""
    return rescores.request(**wanted, method=method, actor=owner, confirmed=confirmed)


def work(row: Rescore) -> Rescore:
    claim = rescores.claim(worker="w")
    assert claim is not None
    rescores.work(claim, worker="w")
    row.refresh_from_db()
    return row


def score_one(miou: float) -> None:
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    evaluations.complete_scored(claim.evaluation_id, attempt=1, card=make_card(miou), now=NOON)


def test_a_preview_is_stored_confirmed_and_published(
    phase: Phase, task: TaskSpec, owner: User
) -> None:
    before = board(phase)
    row = work(ask(phase, task, owner))
    assert row.state == "previewed"
    assert [(c["team"], c["rank_before"], c["rank_after"]) for c in row.result["changes"]] == [
        ("narrow", 2, 1),
        ("wide", 1, 2),
    ]
    assert board(phase) == before
    with refused("rescore-stale"):
        rescores.confirm(row=row, actor=owner, digest="0" * 64)
    rescores.confirm(row=row, actor=owner, digest=row.digest)
    assert board(phase) == before
    row = work(row)
    assert row.state == "published", row.error_code
    assert board(phase) == [(1, "narrow", 1.0), (2, "wide", 0.67)]
    phase.refresh_from_db()
    assert phase.task_spec == task
    acts = AuditEvent.objects.order_by("pk").values_list("action", flat=True)
    assert list(acts) == [
        "rescore.request",
        "rescore.confirm",
        "phase.publish-truth",
        "phase.rescore-publish",
    ]
    assert selector.open_of(phase) is None


def test_what_changed_since_the_preview_makes_it_stale(
    phase: Phase, task: TaskSpec, owner: User, folder: Path
) -> None:
    row = work(ask(phase, task, owner))
    late = make_team(phase.challenge, "late")
    make_scored(phase, folder, "late", ALL_OF_A, team=late)
    with refused("rescore-stale"):
        rescores.confirm(row=row, actor=owner, digest=row.digest)
    rescores.preview_again(row=row, actor=owner)
    row = work(row)
    assert len(row.result["changes"]) == 3
    rescores.confirm(row=row, actor=owner, digest=row.digest)
    # Between the confirmation and the worker.
    first = Submission.objects.get(entry__team=late)
    disqualifications.disqualify(submission=first, actor=owner, reason="a twin")
    before = board(phase)
    row = work(row)
    assert (row.state, row.error_code) == ("failed", "rescore-stale")
    assert board(phase) == before
    phase.refresh_from_db()
    assert phase.task_spec != task


def test_nothing_is_published_while_a_line_would_be_lost(
    phase: Phase, task: TaskSpec, owner: User, folder: Path
) -> None:
    (folder / "wide").unlink()
    row = work(ask(phase, task, owner))
    assert row.result["blocking"] == 1
    assert row.result["missing"][0]["team"] == "wide"
    with refused("rescore-evidence-missing"):
        rescores.confirm(row=row, actor=owner, digest=row.digest)
    with refused("switch-unconfirmed"):
        rescores.score_missing(row=row, actor=owner)
    confirmed = rescores.plan_missing(row).confirmation
    assert rescores.score_missing(row=row, actor=owner, confirmed=confirmed) == 1
    score_one(0.3)
    rescores.preview_again(row=row, actor=owner)
    row = work(row)
    assert (row.result["blocking"], row.result["recorded"]) == (0, 1)
    rescores.confirm(row=row, actor=owner, digest=row.digest)
    assert work(row).state == "published"
    assert board(phase) == [(1, "narrow", 1.0), (2, "wide", 0.3)]


def test_a_switch_can_finish_while_new_submissions_arrive(
    phase: Phase, task: TaskSpec, owner: User
) -> None:
    row = ask(phase, task, owner, ARCHIVES)
    assert rescores.claim(worker="w") is None  # two evaluations have no verdict yet
    late = make_team(phase.challenge, "late")
    submit(late, phase)
    score_one(0.9)  # the live one first, as every worker does
    assert phase.rank_lines.count() == 3
    followed = Evaluation.objects.get(submission__entry__team=late, task_spec=task)
    assert (followed.state, followed.priority) == ("queued", Evaluation.Priority.RESCORE)
    for _ in range(3):
        assert rescores.claim(worker="w") is None
        score_one(0.8)
    row = work(row)
    assert row.result["blocking"] == 0
    rescores.confirm(row=row, actor=owner, digest=row.digest)
    assert work(row).state == "published"
    assert {team for _rank, team, _miou in board(phase)} == {"late", "wide", "narrow"}
    assert queue.verify().faults == []


def test_what_waited_during_a_publication_is_scored_under_what_counts_then(
    phase: Phase, task: TaskSpec, owner: User
) -> None:
    late = make_team(phase.challenge, "late")
    submit(late, phase)
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    row = work(ask(phase, task, owner))
    rescores.confirm(row=row, actor=owner, digest=row.digest)
    assert work(row).state == "published"
    # Publishing queued it already: it has no score under the new task.
    card = make_card(0.7)
    evaluations.complete_scored(claim.evaluation_id, attempt=1, card=card, now=NOON)
    assert Evaluation.objects.filter(submission__entry__team=late, task_spec=task).count() == 1
    score_one(0.6)
    assert "late" in {team for _rank, team, _miou in board(phase)}


@pytest.mark.parametrize("role", [Role.JUDGE, Role.EDITOR, Role.OBSERVER])
def test_only_owners_ask_and_publish(phase: Phase, task: TaskSpec, owner: User, role: Role) -> None:
    other = factories.make_organiser(phase.challenge, role=role)
    with pytest.raises(NotAllowed):
        ask(phase, task, other)
    row = work(ask(phase, task, owner))
    for act in (
        lambda: rescores.confirm(row=row, actor=other, digest=row.digest),
        lambda: rescores.preview_again(row=row, actor=other),
        lambda: rescores.give_up(row=row, actor=other),
        lambda: rescores.score_missing(row=row, actor=other),
    ):
        with pytest.raises(NotAllowed):
            act()


def test_one_at_a_time_and_given_up(phase: Phase, task: TaskSpec, owner: User) -> None:
    row = ask(phase, task, owner)
    with refused("rescore-open"):
        ask(phase, task, owner)
    rescores.give_up(row=row, actor=owner)
    assert rescores.claim(worker="w") is None
    with refused("rescore-nothing-new"):
        assert phase.task_spec is not None
        ask(phase, phase.task_spec, owner, ARCHIVES)
    with refused("rescore-needs-archives"):
        rescores.request(
            phase=phase,
            ground_truth=factories.make_truth(phase.challenge),
            task_spec=task,
            method=EVIDENCE,
            actor=owner,
        )


def test_a_lost_worker_costs_time_only(phase: Phase, task: TaskSpec, owner: User) -> None:
    row = ask(phase, task, owner)
    lost = rescores.claim(worker="lost")
    assert isinstance(lost, Claim)
    maintenance.sweep(now=timezone.now() + timedelta(hours=1))
    again = rescores.claim(worker="w")
    assert again is not None
    with pytest.raises(Refusal, match="is over"):
        rescores.work(lost, worker="lost")
    rescores.work(again, worker="w")
    row.refresh_from_db()
    assert (row.state, row.attempt) == ("previewed", 2)


def test_queueing_again_asks_with_the_count(phase: Phase, owner: User) -> None:
    with pytest.raises(Conflict) as asked:
        rescoring.enqueue(phase=phase, force=True, actor=owner)
    assert asked.value.params["count"] == 2
    assert not Evaluation.objects.filter(state="queued").exists()
    submit(make_team(phase.challenge, "late"), phase)
    score_one(0.5)
    confirmation = asked.value.params["confirmation"]
    with pytest.raises(Conflict) as stale:
        rescoring.enqueue(phase=phase, force=True, actor=owner, confirmed=confirmation)
    assert stale.value.code == "rescore-confirmation-stale"
    assert stale.value.params["count"] == 3
    confirmation = stale.value.params["confirmation"]
    queued = rescoring.enqueue(phase=phase, force=True, actor=owner, confirmed=confirmation)
    assert len(queued) == 3


def test_scores_are_published_in_bulk(
    phase: Phase, task: TaskSpec, owner: User, folder: Path
) -> None:
    for number in range(3):
        make_scored(phase, folder, f"more{number}", SOME_OF_BOTH)
    row = work(ask(phase, task, owner))
    rescores.confirm(row=row, actor=owner, digest=row.digest)
    before = Evaluation.objects.count()
    with CaptureQueriesContext(connection) as queries:
        row = work(row)
    assert row.state == "published", row.error_code
    made = Evaluation.objects.order_by("pk")[before:]
    assert [(one.state, one.attempt, one.worker) for one in made] == [("scored", 1, "w")] * 5
    events = [
        [(event.from_state, event.to_state, event.attempt) for event in one.events.order_by("pk")]
        for one in made
    ]
    assert events == [[("", "queued", 0), ("queued", "scoring", 1), ("scoring", "scored", 1)]] * 5
    for table in ("evaluation", "evaluationevent", "score"):
        inserts = [q for q in queries if q["sql"].startswith(f'INSERT INTO "challenge_{table}" ')]
        assert len(inserts) == 1, table


@pytest.mark.django_db(transaction=True)
def test_the_lease_is_renewed_while_it_is_published_and_a_late_worker_writes_nothing(
    phase: Phase, task: TaskSpec, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = work(ask(phase, task, owner))
    rescores.confirm(row=row, actor=owner, digest=row.digest)
    taken = rescores.claim(worker="w")
    assert taken is not None
    publish, renewed = rescore_publication.publish, []

    def beat() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        renewed.append(rescores.heartbeat(taken))
        # As if the lease had run out once, and another worker had taken it.
        Rescore.objects.update(attempt=taken.attempt + 1)
        connection.close()

    def published(*args: object, **kwargs: object) -> int:
        done = publish(*args, **kwargs)  # type: ignore[arg-type]
        other = Thread(target=beat)
        other.start()
        other.join()
        return done

    monkeypatch.setattr(rescore_publication, "publish", published)
    scores = Score.objects.count()
    with refused("late-worker"):
        rescores.work(taken, worker="w")
    assert renewed == [True]
    assert Score.objects.count() == scores
    phase.refresh_from_db()
    assert phase.task_spec != task
