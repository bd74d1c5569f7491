"""The desk's acts against one another and against the scoring: one waits, nothing is lost.

One side is held inside its transaction; the other is then seen to wait for it, or not to need to.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from challenge.models import (
    AuditEvent,
    DocumentRequest,
    Evaluation,
    FinalResult,
    Phase,
    RankLine,
    Submission,
    Team,
    User,
)
from challenge.selectors import final_results
from challenge.services import audit, maintenance
from challenge.services.challenges import challenge_file, challenges, phases, settlement
from challenge.services.leaderboard import final_results as results
from challenge.services.leaderboard import ranks
from challenge.services.submissions import disqualifications as of_submissions
from challenge.services.submissions import evaluations, rescore_previews, rescore_publication
from challenge.services.teams import disqualifications, winner_documents
from tests.challenges import folders
from tests.factories import (
    NOON,
    change_phase,
    give_score,
    make_card,
    make_challenge,
    make_organiser,
    make_phase,
    make_task,
    make_team,
    submit,
)
from tests.races import Act, Hold, hold
from tests.services.submissions.test_rescoring import (
    ALL_OF_A,
    ONLY_A,
    SOME_OF_BOTH,
    make_scored,
)

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["hold"]

FREEZE = NOON + timedelta(hours=1)
CLOSE = NOON + timedelta(days=30)
LATER = CLOSE + timedelta(hours=1)


def scoring(submission: Submission, miou: float, *, now: Any) -> Act:
    """The verdict of a worker that has the submission, which is the only one that waits."""
    claim = evaluations.claim(worker="w", now=now)
    assert claim is not None
    assert claim.submission_id == submission.pk
    return Act(
        lambda: evaluations.complete_scored(
            claim.evaluation_id, attempt=claim.attempt, card=make_card(miou), now=now
        )
    )


# --- A freeze and a score ------------------------------------------------------------------------


@pytest.mark.parametrize("freeze_first", [True, False])
@pytest.mark.parametrize(("sent", "counts"), [(NOON, True), (FREEZE + timedelta(seconds=1), False)])
def test_a_freeze_cuts_by_time_of_submission_whatever_is_scored_in_that_moment(
    hold: Hold, freeze_first: bool, sent: Any, counts: bool
) -> None:
    phase = make_phase(make_challenge())
    give_score(submit(make_team(phase.challenge), phase), 0.3)
    owner = make_organiser(phase.challenge)
    now = FREEZE + timedelta(minutes=5)
    verdict = scoring(submit(make_team(phase.challenge), phase, at=sent), 0.8, now=now)
    freeze = Act(lambda: change_phase(phase, owner, {"frozen_at": FREEZE}, now=now))
    if freeze_first:
        first, second, stop = freeze, verdict, hold(freeze, audit, "record")
    else:
        # Its lines are computed, by a phase that is not frozen, and not written.
        first, second, stop = verdict, freeze, hold(verdict, ranks, "_write")
    stop.reach()
    assert second.waits()
    stop.release()
    assert [first.end(), second.end()] == ["done", "done"]
    found = RankLine.objects.filter(phase=phase).order_by("rank").values_list("miou", flat=True)
    assert [round(miou, 1) for miou in found] == ([0.8, 0.3] if counts else [0.3])


# --- Two who change a phase ----------------------------------------------------------------------


def test_a_confirmation_waits_for_another_editors_save_and_is_stale_then(
    hold: Hold,
) -> None:
    phase = make_phase(make_challenge())
    submit(make_team(phase.challenge), phase)
    one, other = (make_organiser(phase.challenge) for _ in range(2))
    asked: dict[str, Any] = {"phase": phase, "actor": other, "changes": {"closes_at": NOON}}
    seen = phases.preview(**asked, now=NOON)
    assert seen.consequences
    stored = phases.fingerprint(Phase.objects.get())
    save = Act(lambda: change_phase(phase, one, {"daily_limit": 3}, now=NOON))
    for form in (
        {"confirmed": seen.confirmation},
        {"confirmed": seen.confirmation, "seen": stored},
    ):
        confirm = Act(lambda form=form: phases.change(**asked, **form, now=NOON))  # type: ignore[misc]
        if save.ident is None:
            stop = hold(save, audit, "record")
            stop.reach()
            assert confirm.waits()
            stop.release()
            assert save.end() == "done"
            assert confirm.end() == "phase-confirmation-stale"
        else:
            confirm.start()
            assert confirm.end() == "phase-changed-meanwhile"
    phase.refresh_from_db()
    assert (phase.daily_limit, phase.closes_at) == (3, CLOSE)
    assert AuditEvent.objects.filter(action="phase.change").count() == 1


def test_a_confirmation_counts_the_submission_that_is_being_accepted(
    hold: Hold,
) -> None:
    phase = make_phase(make_challenge())
    team, owner = make_team(phase.challenge), make_organiser(phase.challenge)
    submit(team, phase)
    asked: dict[str, Any] = {"phase": phase, "actor": owner, "changes": {"closes_at": NOON}}
    seen = phases.preview(**asked, now=NOON)
    send = Act(lambda: submit(team, phase))
    stop = hold(send, evaluations, "enqueue")
    stop.reach()
    confirm = Act(lambda: phases.change(**asked, confirmed=seen.confirmation, now=NOON))
    assert confirm.waits()
    stop.release()
    assert [send.end(), confirm.end()] == ["done", "phase-confirmation-stale"]
    assert Submission.objects.count() == 2


def test_a_file_that_is_loaded_sees_what_the_desk_saves_meanwhile(
    hold: Hold, tmp_path: Path
) -> None:
    folder = folders.write(tmp_path / "tiny")
    challenges.load(folder)
    phase = Phase.objects.select_related("challenge").get()
    owner = make_organiser(phase.challenge)
    file = folder / challenge_file.FILE_NAME
    text = file.read_text()
    assert "daily_limit = " in text
    file.write_text(text.replace("daily_limit = ", "daily_limit = 1"))
    save = Act(lambda: change_phase(phase, owner, {"daily_limit": 4}))
    stop = hold(save, audit, "record")
    stop.reach()
    load = Act(lambda: challenges.load(folder))
    assert load.waits()
    stop.release()
    assert save.end() == "done"
    with pytest.raises(challenges.LoadConflicts):
        load.end()
    assert Phase.objects.get().daily_limit == 4


# --- The close -----------------------------------------------------------------------------------


def test_two_sweeps_and_the_last_verdict_settle_once_with_its_score(
    hold: Hold,
) -> None:
    phase = make_phase(make_challenge())
    last = submit(make_team(phase.challenge), phase, at=CLOSE - timedelta(minutes=1))
    verdict = scoring(last, 0.5, now=CLOSE)
    stop = hold(verdict, evaluations.jobs, "transition")
    stop.reach()
    sweep = Act(lambda: settlement.settle_due(now=LATER))
    settling = hold(sweep, audit, "record")
    assert sweep.waits()
    stop.release()
    settling.reach()
    other = Act(lambda: settlement.settle_due(now=LATER))
    assert other.waits()
    settling.release()
    assert [sweep.end(), other.end(), verdict.end()] == ["done"] * 3
    assert AuditEvent.objects.filter(action="phase.settle").count() == 1
    assert RankLine.objects.get().submission_id == last.pk


def test_a_claim_in_the_moment_of_the_close_is_scored_and_holds_the_settlement(
    hold: Hold,
) -> None:
    phase = make_phase(make_challenge())
    owner = make_organiser(phase.challenge)
    sent = submit(make_team(phase.challenge), phase)
    close = Act(lambda: change_phase(phase, owner, {"closes_at": NOON}, now=NOON))
    stop = hold(close, audit, "record")
    stop.reach()
    verdict = scoring(sent, 0.5, now=NOON + timedelta(seconds=1))  # a claim waits for no phase
    assert verdict.waits()
    stop.release()
    assert [close.end(), verdict.end()] == ["done", "done"]
    assert not Phase.objects.get().settlement_recorded
    [settled] = settlement.settle_due(now=NOON + timedelta(seconds=2))
    assert settled.settlement_recorded
    assert RankLine.objects.get().submission_id == sent.pk


def test_a_failed_one_that_is_queued_again_in_that_moment_holds_the_settlement(
    hold: Hold,
) -> None:
    phase = make_phase(make_challenge())
    owner = make_organiser(phase.challenge)
    submit(make_team(phase.challenge), phase)
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    evaluations.mark_failed(claim.evaluation_id, attempt=claim.attempt, code="x", now=NOON)
    again = Act(
        lambda: evaluations.requeue_failed(evaluation_id=claim.evaluation_id, actor=owner, now=NOON)
    )
    stop = hold(again, audit, "record")
    stop.reach()
    sweep = Act(lambda: settlement.settle_due(now=LATER))
    assert sweep.waits()
    stop.release()
    assert [again.end(), sweep.end()] == ["done", "done"]
    assert not Phase.objects.get().settlement_recorded


def test_who_settles_by_hand_waits_for_a_verdict_that_is_being_written(
    hold: Hold,
) -> None:
    phase = make_phase(make_challenge())
    owner = make_organiser(phase.challenge)
    last = submit(make_team(phase.challenge), phase)
    verdict = scoring(last, 0.5, now=CLOSE)
    writing = hold(verdict, evaluations.jobs, "transition")
    writing.reach()
    by_hand = {"phase": phase, "actor": owner, "reason": "stuck", "now": LATER}
    settle = Act(lambda: settlement.settle(**by_hand))  # type: ignore[arg-type]
    ranking = hold(verdict, ranks, "recompute")
    assert settle.waits()
    writing.release()
    ranking.reach()
    assert settle.end() == "done"
    assert RankLine.objects.get().submission_id == last.pk, "the settlement ranks it"
    ranking.release()
    assert verdict.end() == "done"


def test_a_verdict_after_a_settlement_by_hand_counts(hold: Hold) -> None:
    phase = make_phase(make_challenge())
    owner = make_organiser(phase.challenge)
    last = submit(make_team(phase.challenge), phase)
    verdict = scoring(last, 0.5, now=CLOSE)
    by_hand = {"phase": phase, "actor": owner, "reason": "stuck", "now": LATER}
    settle = Act(lambda: settlement.settle(**by_hand))  # type: ignore[arg-type]
    # Its ranks are computed without the score, and not written.
    stop = hold(settle, ranks, "_write")
    stop.reach()
    assert verdict.waits()
    stop.release()
    assert [settle.end(), verdict.end()] == ["done", "done"]
    assert RankLine.objects.get().submission_id == last.pk


# --- A signature ---------------------------------------------------------------------------------


@pytest.fixture
def ended(tmp_path: Path, settings: Any) -> Phase:
    """A settled phase of two teams with evidence, the first one asked for documents."""
    settings.EVIDENCE_DIR = tmp_path
    phase = make_phase(make_challenge())
    make_scored(phase, tmp_path, "wide", SOME_OF_BOTH)
    make_scored(phase, tmp_path, "narrow", ALL_OF_A)
    maintenance.sweep(now=LATER)
    judge = make_organiser(phase.challenge)
    asked = {"phase": phase, "actor": judge, "count": 1, "wanted": "Code"}
    winner_documents.ask(**asked, deadline=LATER + timedelta(days=9), now=LATER)  # type: ignore[arg-type]
    DocumentRequest.objects.update(state="delivered")
    return Phase.objects.select_related("challenge", "task_spec", "ground_truth").get()


def disqualify_a_team(phase: Phase, judge: User) -> Callable[[], object]:
    team = Team.objects.get(name="narrow")
    return lambda: disqualifications.disqualify(team=team, actor=judge, reason="r", now=LATER)


def disqualify_a_submission(phase: Phase, judge: User) -> Callable[[], object]:
    sent = Submission.objects.select_related("entry__phase__challenge").get(
        entry__team__name="narrow"
    )
    return lambda: of_submissions.disqualify(submission=sent, actor=judge, reason="r", now=LATER)


def accept_documents(phase: Phase, judge: User) -> Callable[[], object]:
    row = DocumentRequest.objects.select_related("phase__challenge", "team").get()
    return lambda: winner_documents.decide(row=row, actor=judge, accept=True, now=LATER)


def publish_a_rescore(phase: Phase, judge: User) -> Callable[[], object]:
    task = make_task(phase.challenge, classes=ONLY_A)
    made = rescore_previews.preview(phase=phase, task_spec=task, now=LATER)
    return lambda: rescore_publication.publish(made, actor=judge, now=LATER)


ACTS = [disqualify_a_team, disqualify_a_submission, accept_documents, publish_a_rescore]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("sign_first", [True, False])
def test_a_signature_is_of_the_lines_before_an_act_or_refused_after_it(
    ended: Phase, hold: Hold, act: Callable[..., Any], sign_first: bool
) -> None:
    judge = make_organiser(ended.challenge)
    draft = final_results.draft(ended, now=LATER)
    other = Act(act(ended, judge))
    confirmed = results.digest(draft)
    sign = Act(lambda: results.sign(phase=ended, actor=judge, confirmed=confirmed, now=LATER))
    first, second = (sign, other) if sign_first else (other, sign)
    stop = hold(first, audit, "record")
    stop.reach()
    assert second.waits()
    stop.release()
    assert (first.end(), other.end()) == ("done", "done")
    fresh = Phase.objects.select_related("challenge", "task_spec").get()
    assert results.digest(final_results.draft(fresh, now=LATER)) != confirmed
    if sign_first:
        assert FinalResult.objects.get().document["lines"] == draft.lines
    else:
        assert sign.end() == "result-changed-meanwhile"
        assert not FinalResult.objects.exists()


def test_a_signature_waits_for_what_is_queued_again(ended: Phase, hold: Hold) -> None:
    judge = make_organiser(ended.challenge)
    failed = Evaluation.objects.get(submission__entry__team__name="narrow")
    Evaluation.objects.filter(pk=failed.pk).update(state="failed")
    confirmed = results.digest(final_results.draft(ended, now=LATER))
    again = Act(lambda: evaluations.requeue_failed(evaluation_id=failed.pk, actor=judge, now=LATER))
    stop = hold(again, audit, "record")
    stop.reach()
    sign = Act(lambda: results.sign(phase=ended, actor=judge, confirmed=confirmed, now=LATER))
    assert sign.waits()
    stop.release()
    assert (again.end(), sign.end()) == ("done", "result-waits")
