"""Mails about results: asked for, sent once, rounded, kept while the server is down."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail

from challenge.models import Phase, Submission
from challenge.services.notifications import mails
from challenge.services.submissions import evaluations
from scoring.engine.problems.problems import Problem
from tests.factories import NOON, captain_of, give_score, make_phase, make_team, submit
from tests.live_site import free_port
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db


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
    assert "mIoU 12.30 %" in sent.body
    assert "12.345" not in sent.body
    assert "rank 1" in sent.body
    assert f"/submissions/{submission.pk}/\n" in sent.body


def test_a_rejection_mail_lists_the_problems(phase: Phase) -> None:
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
    evaluations.mark_failed(claim.evaluation_id, attempt=1, code="scorer-killed", now=NOON)
    mails.send_due(now=NOON)
    assert "our side" in mail.outbox[0].body
    assert "scorer" not in mail.outbox[0].body


def test_a_mail_about_a_hidden_phase_has_no_value() -> None:
    phase = make_phase(visibility="organisers")
    give_score(asked(phase), 0.123456789)
    mails.send_due(now=NOON)
    assert "0.12" not in mail.outbox[0].body


def test_no_mail_is_sent_without_consent(phase: Phase) -> None:
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


def test_a_rejection_is_mailed_in_the_persons_language(phase: Phase) -> None:
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


def test_a_refused_address_delays_no_other_mail_and_is_abandoned(
    phase: Phase, server: SmtpServer
) -> None:
    bad = asked(phase)
    give_score(bad, 0.5)
    give_score(asked(phase), 0.6)
    server.unknown_addresses = {captain_of(bad.entry.team).email}
    assert mails.send_due(now=NOON) == 1
    assert mails.is_due()
    assert mails.send_due(now=NOON + timedelta(days=4)) == 0
    assert not mails.is_due()
    assert len(server.mails) == 1


def test_a_mail_server_that_is_down_costs_nothing(
    phase: Phase, server: SmtpServer, settings: Any
) -> None:
    give_score(asked(phase), 0.5)
    settings.EMAIL_PORT = free_port()
    assert mails.send_due(now=NOON) == 0
    assert mails.is_due()
    settings.EMAIL_PORT = server.port
    assert mails.send_due(now=NOON + timedelta(minutes=1)) == 1
