"""Mails about results: asked for, sent once, rounded, kept while the server is down."""

from __future__ import annotations

from datetime import timedelta
from smtplib import SMTPRecipientsRefused
from typing import Any

import pytest
from django.core import mail
from django.core.mail import send_mail

from challenge.models import Phase, Submission
from challenge.services import evaluations, mails
from scoring.engine.problems import Problem
from tests.factories import NOON, captain_of, give_score, make_phase, make_team, submit

pytestmark = pytest.mark.django_db


@pytest.fixture
def phase() -> Phase:
    return make_phase()


def asked(phase: Phase, **more: object) -> Submission:
    return submit(make_team(phase.challenge), phase, mail_on_result=True, **more)


def test_a_score_is_mailed_once_and_rounded(phase: Phase) -> None:
    submission = asked(phase)
    assert not mails.is_due()
    give_score(submission, 0.123456789)
    assert mails.is_due()
    assert mails.send_due(now=NOON) == 1
    assert mails.send_due(now=NOON) == 0
    [sent] = mail.outbox
    assert sent.to == [captain_of(submission.entry.team).email]
    assert "0.1235" in sent.body
    assert "0.12345" not in sent.body


def test_a_rejection_tells_what_was_found(phase: Phase) -> None:
    asked(phase)
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    problems = [{"code": "zip-empty", "message": "The archive holds no file.", "file": None}]
    evaluations.complete_rejected(claim.evaluation_id, attempt=1, problems=problems, now=NOON)
    assert mails.send_due(now=NOON) == 1
    assert "The archive holds no file." in mail.outbox[0].body


def test_a_failure_says_it_is_ours(phase: Phase) -> None:
    asked(phase)
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    evaluations.complete_broken(claim.evaluation_id, attempt=1, code="scorer-killed", now=NOON)
    mails.send_due(now=NOON)
    assert "our side" in mail.outbox[0].body
    assert "scorer" not in mail.outbox[0].body


def test_a_hidden_phase_mails_no_figure() -> None:
    phase = make_phase(visibility="organisers")
    give_score(asked(phase), 0.123456789)
    mails.send_due(now=NOON)
    assert "0.12" not in mail.outbox[0].body


def test_who_did_not_ask_gets_none(phase: Phase) -> None:
    give_score(submit(make_team(phase.challenge), phase), 0.5)
    assert mails.send_due(now=NOON) == 0


def test_in_french_for_who_reads_french(phase: Phase) -> None:
    submission = asked(phase)
    person = captain_of(submission.entry.team)
    person.language = "fr"
    person.save()
    give_score(submission, 0.5)
    mails.send_due(now=NOON)
    assert mail.outbox[0].subject != "Your submission to ABC"


def test_a_rejection_is_told_in_the_persons_language(phase: Phase) -> None:
    person = captain_of(asked(phase).entry.team)
    person.language = "fr"
    person.save()
    claim = evaluations.claim(worker="w", now=NOON)
    assert claim is not None
    problem = Problem.of("archive-empty-file")
    evaluations.complete_rejected(
        claim.evaluation_id, attempt=1, problems=[problem.to_json()], now=NOON
    )
    mails.send_due(now=NOON)
    assert problem.text("fr") in mail.outbox[0].body
    assert problem.text("fr") != problem.text("en")


def test_a_refused_address_keeps_nobody_waiting_and_is_given_up(
    phase: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = asked(phase)
    give_score(bad, 0.5)
    give_score(asked(phase), 0.6)
    address = captain_of(bad.entry.team).email

    def refusing(**what: Any) -> None:
        if what["recipient_list"] == [address]:
            raise SMTPRecipientsRefused({address: (550, b"no such user")})
        send_mail(**what)

    monkeypatch.setattr(mails, "send_mail", refusing)
    assert mails.send_due(now=NOON) == 1
    assert mails.is_due()
    assert mails.send_due(now=NOON + timedelta(days=4)) == 0
    assert not mails.is_due()
    assert len(mail.outbox) == 1


def test_a_mail_server_that_is_down_costs_nothing(
    phase: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_score(asked(phase), 0.5)

    def down(*_: object, **__: object) -> None:
        raise ConnectionRefusedError("nobody listens")

    with monkeypatch.context() as patched:
        patched.setattr(mails, "send_mail", down)
        assert mails.send_due(now=NOON) == 0
    assert mails.is_due()
    assert mails.send_due(now=NOON + timedelta(minutes=1)) == 1
