"""A team's archives on its pages: how full their space is, and how to free some."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.urls import reverse

from challenge.models import Phase, Submission, Team
from tests import factories
from tests.web.conftest import Visit

pytestmark = pytest.mark.django_db


@pytest.fixture
def team(phase: Phase) -> Team:
    return factories.make_team(phase.challenge, "Alpha")


def submit(team: Team, phase: Phase, miou: float) -> Submission:
    archive = factories.make_archive(b"x" * 600)
    made = factories.submit(team, phase, archive=archive)
    factories.give_score(made, miou)
    return made


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "Your team's archives hold 1.2\xa0kB of 1.4\xa0kB."),
        ("fr", "Les archives de votre équipe occupent 1,2\xa0ko sur 1,4\xa0ko."),
    ],
)
def test_the_form_says_how_full_it_is(
    team: Team, phase: Phase, visit: Visit, language: str, told: str
) -> None:
    phase.challenge.team_archives_bytes = 1400
    phase.challenge.save()
    for miou in (0.4, 0.9):
        submit(team, phase, miou)
    url = reverse("web:submit", args=[phase.challenge.slug, phase.slug])
    html = visit(factories.captain_of(team), language=language).get(url).content.decode()
    assert told in html
    assert "disabled" not in html.split("data-send")[1][:20]


def test_the_form_says_when_it_is_full(team: Team, phase: Phase, visit: Visit) -> None:
    phase.challenge.team_archives_bytes = 600
    phase.challenge.save()
    submit(team, phase, 0.4)
    url = reverse("web:submit", args=[phase.challenge.slug, phase.slug])
    html = visit(factories.captain_of(team)).get(url).content.decode()
    assert "remove archives of earlier submissions" in html
    assert "disabled" in html.split("data-send")[1][:20]


def test_a_team_removes_an_archive_and_keeps_the_score(
    team: Team, phase: Phase, visit: Visit, django_capture_on_commit_callbacks: Any
) -> None:
    worse, best = submit(team, phase, 0.4), submit(team, phase, 0.9)
    client = visit(factories.captain_of(team))
    page = reverse("web:submission", args=[worse.pk])
    remove = reverse("web:remove-archive", args=[worse.pk])
    assert remove in client.get(page).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        told = client.post(remove, follow=True).content.decode()
    assert "The archive is removed; its score stays." in told
    assert "only archives that the ranking rests on are kept" in told
    assert remove not in told
    assert "data-looks=" not in told  # nothing is left to draw from
    assert "js/submission/page.js" not in told
    assert not default_storage.exists(worse.archive)
    answer = client.get(reverse("web:submission-archive", args=[worse.pk]))
    assert answer.status_code == 410
    refused = client.post(reverse("web:remove-archive", args=[best.pk]), follow=True)
    assert "This archive has to stay" in refused.content.decode()
    assert default_storage.exists(best.archive)
