"""Accepting a submission: who, when, how often; all in one transaction or not at all."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.core.files.storage import default_storage
from django.db import connection, transaction

from challenge.errors import Refusal
from challenge.models import (
    Evaluation,
    Phase,
    QuotaLine,
    Registration,
    Submission,
    Team,
    Upload,
)
from challenge.services.submissions import disqualifications, quota, submissions
from challenge.services.submissions.submissions import MethodFacts
from challenge.services.teams import merges, teams
from tests.factories import (
    NOON,
    bare_archive,
    captain_of,
    give_score,
    make_archive,
    make_challenge,
    make_organiser,
    make_phase,
    make_team,
    make_user,
    submit,
)
from tests.helpers import refused, run_in_threads

pytestmark = pytest.mark.django_db
TICK = timedelta(microseconds=1)


@pytest.fixture
def phase() -> Phase:
    return make_phase(daily_limit=2, total_limit=4, invalid_daily_limit=3)


def test_it_works(phase: Phase, team: Team) -> None:
    submission = submit(team, phase)
    assert (submission.number, submission.created_at) == (1, NOON)
    assert submission.evaluations.get().state == "queued"
    assert submission.quota_lines.get().move == "reserved"
    assert submit(team, phase).number == 2


@pytest.mark.parametrize(
    ("shift", "code"),
    [
        (-timedelta(days=1) - TICK, "phase-upcoming"),
        (timedelta(days=30), "phase-closed"),
        (timedelta(days=31), "phase-closed"),
    ],
)
def test_outside_the_window_nothing_is_taken(
    phase: Phase, team: Team, shift: timedelta, code: str
) -> None:
    with refused(code):
        submit(team, phase, at=NOON + shift)
    assert not Submission.objects.exists()
    assert not QuotaLine.objects.exists()


@pytest.mark.parametrize("shift", [-timedelta(days=1), timedelta(days=30) - TICK])
def test_the_windows_first_and_last_moments_are_inside(
    phase: Phase, team: Team, shift: timedelta
) -> None:
    assert submit(team, phase, at=NOON + shift).pk


def test_a_window_moved_meanwhile_counts_as_it_is_now(phase: Phase, team: Team) -> None:
    Phase.objects.filter(pk=phase.pk).update(closes_at=NOON)
    with refused("phase-closed"):
        submit(team, phase)


def test_the_daily_limit_refills_at_utc_midnight(phase: Phase, team: Team) -> None:
    submit(team, phase)
    submit(team, phase)
    with refused("quota-day-used"):
        submit(team, phase)
    with refused("quota-day-used"):
        submit(team, phase, at=NOON + timedelta(hours=12) - TICK)
    assert submit(team, phase, at=NOON + timedelta(hours=12)).number == 3


def test_the_total_limit_never_refills(phase: Phase, team: Team) -> None:
    for day in range(2):
        for _ in range(2):
            submit(team, phase, at=NOON + timedelta(days=day))
    with refused("quota-total-used"):
        submit(team, phase, at=NOON + timedelta(days=5))


def test_another_teams_quota_is_its_own(phase: Phase, team: Team) -> None:
    submit(team, phase)
    submit(team, phase)
    assert submit(make_team(phase.challenge), phase).number == 1


@pytest.mark.parametrize(
    ("state", "code"),
    [("pending", "registration-pending"), ("refused", "registration-refused")],
)
def test_only_approved_people_submit(phase: Phase, team: Team, state: str, code: str) -> None:
    Registration.objects.update(state=state)
    with refused(code):
        submit(team, phase)


def test_an_unregistered_person_is_asked_to_register(phase: Phase) -> None:
    with refused("not-registered"):
        submissions.submit(
            user=make_user(), phase=phase, archive=bare_archive(), method=MethodFacts("m"), now=NOON
        )


def test_newer_rules_must_be_accepted_first(phase: Phase, team: Team) -> None:
    phase.challenge.terms_version = "2"
    phase.challenge.save()
    with refused("terms-outdated"):
        submit(team, phase)
    teams.register(
        user=captain_of(team), challenge=phase.challenge, accept_terms_version="2", now=NOON
    )
    assert submit(team, phase).pk


@pytest.mark.parametrize("what", ["challenge", "phase"])
def test_what_is_unpublished_is_not_there(phase: Phase, team: Team, what: str) -> None:
    hidden = phase.challenge if what == "challenge" else phase
    hidden.is_published = False
    hidden.save()
    with refused("not-found"):
        submit(team, phase)


def test_a_phase_without_labels_takes_nothing_yet() -> None:
    phase = make_phase(make_challenge("bare"), truth=False)
    with refused("phase-not-ready"):
        submit(make_team(phase.challenge), phase)


def test_a_closed_account_submits_nothing(phase: Phase, team: Team) -> None:
    user = captain_of(team)
    user.is_active = False
    user.save()
    with refused("account-inactive"):
        submit(team, phase)


def test_too_large_an_archive_is_refused(phase: Phase, team: Team) -> None:
    Phase.objects.update(archive_limit_bytes=999)
    with refused("archive-too-large"):
        submit(team, phase)


@pytest.mark.parametrize(
    ("facts", "code", "field"),
    [
        ({"method_name": "  "}, "method-name-missing", "method_name"),
        ({"method_name": "x" * 121}, "method-name-missing", "method_name"),
        ({"method_description": "x" * 10_001}, "field-too-long", "method_description"),
        ({"hardware": "x" * 121}, "field-too-long", "hardware"),
        ({"code_url": "javascript:alert(1)"}, "url-invalid", "code_url"),
        ({"paper_url": "https://"}, "url-invalid", "paper_url"),
        ({"paper_url": "http://[::1"}, "url-invalid", "paper_url"),
        ({"method_seconds": 0.0}, "seconds-invalid", "method_seconds"),
        ({"baseline_seconds": float("nan")}, "seconds-invalid", "baseline_seconds"),
    ],
)
def test_a_bad_fact_names_its_field(facts: dict[str, object], code: str, field: str) -> None:
    with pytest.raises(Refusal) as found:
        replace(MethodFacts("U-Net"), **facts).checked()
    assert (found.value.code, found.value.params["field"]) == (code, field)


def test_method_facts_hold_no_terminal_control_characters() -> None:
    facts = MethodFacts(
        method_name=" U-Net\x1b[2J \u202e\n flips ",
        method_description="a\r\n\x07b",
        hardware="\x00A100",
    ).checked()
    assert facts.method_name == "U-Net[2J flips"
    assert (facts.method_description, facts.hardware) == ("a\nb", "A100")
    with pytest.raises(Refusal):
        MethodFacts(method_name="\u202e\x1b").checked()


def test_method_facts_are_stored(phase: Phase, team: Team) -> None:
    facts = MethodFacts(
        " U-Net ",
        method_description="Five bands",
        code_url="https://example.org/code",
        baseline_seconds=10.0,
        method_seconds=20.0,
        hardware="V100",
    )
    found = submissions.submit(
        user=captain_of(team), phase=phase, archive=bare_archive(), method=facts, now=NOON
    )
    found.refresh_from_db()
    assert found.method_name == "U-Net"
    assert (found.baseline_seconds, found.method_seconds, found.hardware) == (10, 20, "V100")


def test_baselines_are_the_platforms_outside_window_and_quota(phase: Phase, team: Team) -> None:
    with refused("baseline-not-allowed"):
        submit(team, phase, is_baseline=True)
    platform = make_team(phase.challenge, "IGN", is_platform=True)
    for _ in range(3):
        assert submit(platform, phase, is_baseline=True, at=NOON + timedelta(days=99)).is_baseline


def test_a_stream_is_stored_and_submitted(phase: Phase, team: Team) -> None:
    found = submissions.submit_stream(
        user=captain_of(team),
        phase=phase,
        stream=io.BytesIO(b"bytes"),
        original_name="../../etc/pre\u202eds.zip",
        method=MethodFacts("m"),
        now=NOON,
    )
    assert found.original_name == "preds.zip"
    with default_storage.open(found.archive) as archive:
        assert archive.read() == b"bytes"


def test_a_refused_stream_leaves_nothing_behind(phase: Phase, team: Team) -> None:
    Phase.objects.update(archive_limit_bytes=10)
    phase.refresh_from_db()
    before = stored()
    with refused("archive-too-large"):
        submissions.submit_stream(
            user=captain_of(team),
            phase=phase,
            stream=io.BytesIO(b"x" * 11),
            original_name="a.zip",
            method=MethodFacts("m"),
            now=NOON,
        )
    assert stored() == before


def test_an_upload_is_used_once_by_its_owner(phase: Phase, team: Team) -> None:
    user = captain_of(team)
    archive = make_archive(b"bytes")
    upload = Upload.objects.create(
        user=user,
        length_bytes=5,
        expires_at=NOON + timedelta(days=1),
        completed_at=NOON,
        archive=archive.name,
        sha256=archive.sha256,
    )
    found = submissions.submit(
        user=user, phase=phase, archive=archive, method=MethodFacts("m"), upload=upload, now=NOON
    )
    with pytest.raises(Refusal) as again:
        submissions.submit(
            user=user,
            phase=phase,
            archive=archive,
            method=MethodFacts("m"),
            upload=upload,
            now=NOON,
        )
    assert again.value.code == "upload-used"
    assert again.value.params["submission"] == str(found.pk)


def test_precheck_says_the_same_before_a_byte_is_sent(phase: Phase, team: Team) -> None:
    user = captain_of(team)
    assert submissions.precheck(user=user, phase=phase, now=NOON) == team
    submit(team, phase)
    submit(team, phase)
    with refused("quota-day-used"):
        submissions.precheck(user=user, phase=phase, now=NOON)
    with refused("phase-closed"):
        submissions.precheck(user=user, phase=phase, now=NOON + timedelta(days=40))


def test_finals_are_two_until_the_settlement(phase: Phase, team: Team) -> None:
    Phase.objects.update(finals_limit=2)
    user = captain_of(team)
    sent = [submit(team, phase, at=NOON + timedelta(days=day)) for day in range(3)]
    give_score(sent[0])
    for one in sent[:2]:
        submissions.choose_final(submission=one, actor=user, chosen=True, now=NOON)
    with refused("finals-limit"):
        submissions.choose_final(submission=sent[2], actor=user, chosen=True, now=NOON)
    submissions.choose_final(submission=sent[0], actor=user, chosen=False, now=NOON)
    submissions.choose_final(submission=sent[2], actor=user, chosen=True, now=NOON)
    with refused("not-found"):
        submissions.choose_final(submission=sent[2], actor=make_user(), chosen=False, now=NOON)
    for one in sent[1:]:
        give_score(one)
    with refused("finals-closed"):
        submissions.choose_final(
            submission=sent[2], actor=user, chosen=False, now=NOON + timedelta(days=40)
        )


def test_only_organisers_disqualify_and_say_why(phase: Phase, team: Team) -> None:
    submission = submit(team, phase)
    organiser = make_user()
    make_organiser(phase.challenge, organiser)
    with refused("not-organiser"):
        disqualifications.disqualify(submission=submission, actor=captain_of(team), reason="r")
    with refused("reason-missing"):
        disqualifications.disqualify(submission=submission, actor=organiser, reason=" ")
    disqualifications.disqualify(submission=submission, actor=organiser, reason="external data")
    with refused("already-disqualified"):
        disqualifications.disqualify(submission=submission, actor=organiser, reason="again")
    disqualifications.reinstate(submission=submission, actor=organiser)
    with refused("not-disqualified"):
        disqualifications.reinstate(submission=submission, actor=organiser)


@pytest.mark.django_db(transaction=True)
def test_two_concurrent_submits_for_the_last_quota_unit_give_exactly_one() -> None:
    phase = make_phase(make_challenge(), daily_limit=1, total_limit=None)
    pairs = [(make_team(phase.challenge), NOON + timedelta(minutes=n)) for n in range(50)]
    barrier = Barrier(2)
    outcomes: list[str] = []

    def work() -> None:
        for team, at in pairs:
            barrier.wait(timeout=30)
            try:
                submit(team, phase, at=at)
                outcomes.append("accepted")
            except Refusal as refusal:
                outcomes.append(refusal.code)

    run_in_threads(work, count=2)
    assert sorted(outcomes) == ["accepted"] * 50 + ["quota-day-used"] * 50
    assert Submission.objects.count() == Evaluation.objects.count() == 50
    for team, _at in pairs:
        assert quota.view(team=team, phase=phase, now=NOON).left_today == 0


def stored() -> set[str]:
    found: set[str] = set()
    if default_storage.exists("archives"):
        for day in default_storage.listdir("archives")[0]:
            found |= set(default_storage.listdir(f"archives/{day}")[1])
    return found


@pytest.mark.django_db(transaction=True)
def test_who_submits_while_their_team_merges_submits_for_both() -> None:
    phase = make_phase(make_challenge(), daily_limit=None, total_limit=2)
    source, target = make_team(phase.challenge), make_team(phase.challenge)
    for team in (source, target):
        submit(team, phase)
    captain = captain_of(source)
    asked = merges.ask(from_team=source, to_team=target, actor=captain, now=NOON)
    refusals: list[str] = []

    def late() -> None:
        try:
            submissions.submit(
                user=captain,
                phase=phase,
                archive=make_archive(),
                method=MethodFacts(method_name="m"),
                now=NOON,
            )
        except Refusal as refusal:
            refusals.append(refusal.code)
        finally:
            connection.close()

    thread = Thread(target=late)
    with transaction.atomic():
        merges.answer(request=asked, actor=captain_of(target), accepted=True, now=NOON)
        thread.start()  # it sees the old team and waits for its entry
        thread.join(1)
        assert thread.is_alive()
    thread.join(20)
    assert refusals == ["quota-total-used"]
    assert Submission.objects.filter(entry__team=target).count() == Submission.objects.count() == 2


def test_withdrawing_refunds_the_quota_up_to_the_invalid_limit(team: Team, phase: Phase) -> None:
    for _turn in range(3):
        one = submit(team, phase, at=NOON)
        submissions.cancel(submission=one, actor=captain_of(team), now=NOON)
    seen = quota.view(team=team, phase=phase, now=NOON)
    assert (seen.used_total, seen.left_total, seen.left) == (0, 4, 0)
    with refused("quota-invalid-used"):
        submit(team, phase, at=NOON)
    assert submit(team, phase, at=NOON + timedelta(days=1)).number == 4


def test_where_the_best_counts_no_final_is_chosen(phase: Phase, team: Team) -> None:
    submission = submit(team, phase)
    give_score(submission)
    user = captain_of(team)
    with refused("finals-not-used"):
        submissions.choose_final(submission=submission, actor=user, chosen=True, now=NOON)
    Submission.objects.update(is_final=True)  # as earlier releases allowed
    submissions.choose_final(submission=submission, actor=user, chosen=False, now=NOON)
    submission.refresh_from_db()
    assert not submission.is_final
