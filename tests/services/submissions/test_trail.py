"""What organisers do with submissions stands in the trail: each submission of an act by its id."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from challenge.models import AuditEvent, Phase, Submission, Team, User
from challenge.rules.roles import Role
from challenge.services.accounts import tokens
from challenge.services.submissions import downloads, rescoring, submissions
from tests import factories
from tests.factories import NOON

pytestmark = pytest.mark.django_db


@pytest.fixture
def judge(phase: Phase) -> User:
    return factories.make_organiser(phase.challenge, role=Role.JUDGE)


@pytest.fixture
def sent(phase: Phase, team: Team) -> Submission:
    return factories.submit(team, phase, archive=factories.make_archive(b"0123456789"))


def downloaded() -> list[tuple[str, str]]:
    rows = AuditEvent.objects.filter(action="submission.download").order_by("pk")
    return [(row.actor.username if row.actor else "", row.target) for row in rows]


def page(user: User, sent: Submission, **headers: str) -> str:
    client = Client()
    client.force_login(user)
    answer = client.get(reverse("web:submission-archive", args=[sent.pk]), headers=headers)
    assert b"".join(answer)  # type: ignore[call-overload]
    return str(answer["Content-Disposition"])


def script(user: User, sent: Submission) -> str:
    _row, token = tokens.create(user=user, name="t", scopes=["organise", "read"])
    answer = Client().get(
        f"/api/v1/submissions/{sent.pk}/archive", headers={"Authorization": f"Bearer {token}"}
    )
    assert b"".join(answer) == b"0123456789"  # type: ignore[call-overload]
    return str(answer["Content-Disposition"])


def test_archives_of_all_teams_have_names_of_their_own(
    phase: Phase, team: Team, sent: Submission, judge: User
) -> None:
    other = factories.make_team(phase.challenge, "Équipe Forêt / Nº 2")
    second = factories.submit(other, phase, archive=factories.make_archive(b"0123456789"))
    only_signs = factories.make_team(phase.challenge, "森林")
    third = factories.submit(only_signs, phase, archive=factories.make_archive(b"0123456789"))
    for ask in (page, script):
        assert ask(judge, sent) == f'attachment; filename="alpha-1-{sent.pk}.zip"'
        name = f"equipe-foret-no-2-1-{second.pk}"
        assert ask(judge, second) == f'attachment; filename="{name}.zip"'
        name = f"team-{only_signs.pk}-1-{third.pk}"
        assert ask(judge, third) == f'attachment; filename="{name}.zip"'


def test_a_download_of_another_teams_archive_is_recorded(
    team: Team, sent: Submission, judge: User
) -> None:
    page(factories.captain_of(team), sent)
    assert downloaded() == []
    script(judge, sent)
    assert downloaded() == [(judge.username, str(sent.pk))]


def test_pieces_of_one_download_are_recorded_once_an_hour(
    team: Team, sent: Submission, judge: User
) -> None:
    for start in range(4):
        page(judge, sent, Range=f"bytes={start}-{start + 1}")
    assert downloaded() == [(judge.username, str(sent.pk))]
    other = factories.make_organiser(sent.entry.phase.challenge)
    page(other, sent)
    later = AuditEvent.objects.latest("pk").at + timedelta(hours=2)
    downloads.record(submission=sent, actor=judge, now=later)
    assert len(downloaded()) == 3


def test_a_bulk_act_names_each_submission(
    phase: Phase, team: Team, sent: Submission, judge: User
) -> None:
    factories.give_score(sent, 0.5)
    second = factories.submit(team, phase)
    factories.give_score(second, 0.6)
    rescoring.enqueue(
        phase=phase,
        force=True,
        actor=judge,
        confirmed=rescoring.plan(phase=phase, force=True).confirmation,
        now=NOON + timedelta(days=1),
    )
    event = AuditEvent.objects.get(action="phase.rescore")
    assert sorted(event.data["submissions"]) == sorted([str(sent.pk), str(second.pk)])


def test_withdrawing_another_teams_submission_is_recorded(
    phase: Phase, team: Team, sent: Submission, judge: User
) -> None:
    own = factories.submit(team, phase)
    submissions.cancel(submission=own, actor=factories.captain_of(team))
    assert not AuditEvent.objects.exists()
    submissions.cancel(submission=sent, actor=judge)
    event = AuditEvent.objects.get()
    assert (event.action, event.target) == ("submission.cancel", str(sent.pk))


def test_an_export_of_all_submissions_is_recorded(
    phase: Phase, sent: Submission, judge: User
) -> None:
    _row, token = tokens.create(user=judge, name="t", scopes=["organise"])
    url = f"/api/v1/organise/challenges/{phase.challenge.slug}/phases/{phase.slug}/export"
    assert Client().get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    event = AuditEvent.objects.get()
    assert (event.action, event.target) == ("submissions.export", str(phase))
