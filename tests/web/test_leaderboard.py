"""The leaderboard as readers get it."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from challenge.models import (
    Entry,
    Phase,
    PublishedResult,
    RankLine,
    Score,
    Submission,
    Team,
    User,
)
from challenge.selectors import leaderboard
from challenge.services.accounts import accounts
from challenge.services.leaderboard import ranks
from challenge.services.teams import teams
from tests import factories
from tests.web.conftest import Visit

ROW = re.compile(r"<tr class=\"(?P<css>[^\"]*)\".*?</tr>", re.DOTALL)


def url(phase: Phase, name: str = "leaderboard") -> str:
    return reverse(f"web:{name}", args=[phase.challenge.slug, phase.slug])


def names(html: str) -> list[str]:
    """Teams and references in the order in which the table shows them."""
    return re.findall(r'class="c-team">(?:<a href="[^"]*">|<span class="strong">)([^<]*)<', html)


def board(phase: Phase, scores: dict[str, float]) -> list[Team]:
    teams = []
    for name, miou in scores.items():
        team = factories.make_team(phase.challenge, name)
        factories.give_score(factories.submit(team, phase), miou)
        teams.append(team)
    ranks.recompute(phase=phase)
    phase.refresh_from_db()
    return teams


def test_it_works(phase: Phase, client: Client) -> None:
    board(phase, {"Larch": 0.41234567, "Beech": 0.52})
    answer = client.get(url(phase))
    assert answer.status_code == 200
    html = answer.content.decode()
    assert names(html) == ["Beech", "Larch"]
    assert "52.00" in html
    assert "41.20" in html or "41.30" in html
    assert "41.23" not in html


def test_values_finer_than_the_step_never_leave_an_open_phase(phase: Phase, client: Client) -> None:
    board(phase, {"Larch": 0.41234567})
    for name in ("leaderboard", "leaderboard-csv", "leaderboard-json"):
        assert "4123" not in client.get(url(phase, name)).content.decode()


def test_numbers_follow_the_language(phase: Phase, visit: Visit) -> None:
    board(phase, {"Larch": 0.41234567})
    html = visit(language="fr").get(url(phase)).content.decode()
    assert "41,20" in html or "41,30" in html
    assert "Classement" in html


def test_equal_scores_share_a_rank(phase: Phase, client: Client) -> None:
    board(phase, {"Larch": 0.5, "Beech": 0.5, "Oak": 0.4})
    html = client.get(url(phase)).content.decode()
    assert re.findall(r'data-rank="(\d+)"', html) == ["1", "1", "3"]


def test_references_stand_between_the_teams_without_a_rank(phase: Phase, client: Client) -> None:
    PublishedResult.objects.create(
        challenge=phase.challenge,
        phase_slug=phase.slug,
        name="Paper U-Net",
        kind="baseline",
        miou=0.45,
        source="a paper",
    )
    board(phase, {"Larch": 0.5, "Oak": 0.4})
    html = client.get(url(phase)).content.decode()
    assert names(html) == ["Larch", "Paper U-Net", "Oak"]
    rows = [match[0] for match in ROW.finditer(html)]
    assert "data-rank" not in rows[1]
    assert "reference" in rows[1]


def test_the_viewers_own_team_is_marked(phase: Phase, visit: Visit) -> None:
    mine, _other = board(phase, {"Larch": 0.5, "Oak": 0.4})
    html = visit(factories.captain_of(mine)).get(url(phase)).content.decode()
    assert [match["css"] for match in ROW.finditer(html) if " mine" in match["css"]] == [
        "team rank-1 mine"
    ]


@pytest.mark.parametrize("query", ["", "?page=1"])
def test_a_cached_table_marks_no_other_viewers_team(phase: Phase, visit: Visit, query: str) -> None:
    teams = dict(zip(("Larch", "Oak"), board(phase, {"Larch": 0.5, "Oak": 0.4}), strict=True))
    lone = factories.make_user()

    def marked(user: User | None) -> list[str]:
        html = visit(user).get(url(phase) + query).content.decode()
        return [
            names(match[0])[0] for match in ROW.finditer(html) if "mine" in match["css"].split()
        ]

    for _ in range(2):  # made, then from the cache
        assert marked(None) == marked(lone) == []
        for name, team in teams.items():
            assert marked(factories.captain_of(team)) == [name]


def test_one_cached_table_serves_every_time_zone(
    phase: Phase, client: Client, django_assert_num_queries: Any
) -> None:
    board(phase, {"Larch": 0.5})
    Submission.objects.update(created_at=datetime(2026, 5, 31, 22, 30, tzinfo=UTC))
    client.get(url(phase))
    for zone, day in (("Europe/Paris", "1 June 2026"), ("America/Lima", "31 May 2026")):
        client.cookies["timezone"] = zone
        with django_assert_num_queries(1):  # the phase alone: the table is cached
            html = client.get(url(phase)).content.decode()
        assert f'<time datetime="2026-05-31T22:30:00Z">{day}</time>' in html


@pytest.mark.parametrize("leave", ["rename", "delete"])
def test_a_former_name_leaves_the_board_at_once(phase: Phase, client: Client, leave: str) -> None:
    team, _other = board(phase, {"Larch": 0.5, "Oak": 0.4})
    tag = client.get(url(phase))["ETag"]
    assert "Larch" in client.get(url(phase)).content.decode()
    captain = factories.captain_of(team)
    if leave == "rename":
        teams.rename(team=team, actor=captain, name="Mélèze")
    else:
        accounts.delete(user=captain)
    for name in ("leaderboard", "leaderboard-csv", "leaderboard-json"):
        answer = client.get(url(phase, name), headers={"If-None-Match": tag})
        assert answer.status_code == 200
        assert "Larch" not in answer.content.decode()
        assert ("Mélèze" if leave == "rename" else "former team") in answer.content.decode()


def test_values_by_domain_are_published_where_labels_are_public(
    phase: Phase, client: Client
) -> None:
    Phase.objects.filter(pk=phase.pk).update(labels_public=True)
    teams_ = {"Larch": (0.51234567, 0.6), "Oak": (0.4, 0.7)}
    for name, mious in teams_.items():
        team = factories.make_team(phase.challenge, name)
        domains = {f"D00{n}_2020": {"miou": miou} for n, miou in enumerate(mious)}
        factories.give_score(factories.submit(team, phase), mious[0], domains=domains)
    ranks.recompute(phase=phase)
    found = client.get(url(phase, "leaderboard-json")).json()
    assert [one["id"] for one in found["domains"]] == ["D000_2020", "D001_2020"]
    assert {line["team"]: line["domain_mious"] for line in found["lines"]} == {
        "Larch": [0.51234567, 0.6],
        "Oak": [0.4, 0.7],
    }
    rows = list(
        csv.DictReader(io.StringIO(client.get(url(phase, "leaderboard-csv")).content.decode()))
    )
    assert rows[0]["miou_D000_2020"] == "0.51234567"
    html = client.get(url(phase)).content.decode()
    assert 'value="one-domain"' in html
    for line in found["lines"]:
        assert f'data-line="{line["line"]}"' in html


@pytest.mark.parametrize("detail", ["classes", "miou"])
def test_weightings_by_domain_are_not_offered_where_domains_are_not_published(
    phase: Phase, client: Client, detail: str
) -> None:
    board(phase, {"Larch": 0.5})
    Phase.objects.filter(pk=phase.pk).update(detail=detail)
    html = client.get(url(phase)).content.decode()
    assert 'value="one-domain"' not in html
    assert "when the phase has closed" in html
    found = client.get(url(phase, "leaderboard-json")).json()
    assert found["domains"] == []
    assert found["lines"][0]["domain_mious"] == []
    assert "miou_D" not in client.get(url(phase, "leaderboard-csv")).content.decode()


def test_a_hidden_leaderboard_shows_no_domain(phase: Phase, client: Client) -> None:
    board(phase, {"Larch": 0.5})
    Phase.objects.filter(pk=phase.pk).update(visibility="organisers")
    found = client.get(url(phase, "leaderboard-json")).json()
    assert (found["domains"], found["lines"]) == ([], [])


def test_no_score_card_is_read_for_a_leaderboard(phase: Phase, client: Client) -> None:
    board(phase, {"Larch": 0.5, "Oak": 0.4})
    with CaptureQueriesContext(connection) as queries:
        found = client.get(url(phase, "leaderboard-json")).json()
    assert len(found["lines"]) == 2
    assert not [one["sql"] for one in queries.captured_queries if '"card"' in one["sql"]]


def test_a_baselines_seeds_are_one_mean_by_domain(phase: Phase, client: Client) -> None:
    platform = factories.make_team(phase.challenge, "Reference", is_platform=True)
    for miou in (0.4, 0.5):
        made = factories.submit(platform, phase, is_baseline=True)
        factories.give_score(made, miou)
    ranks.recompute(phase=phase)
    Phase.objects.filter(pk=phase.pk).update(labels_public=True)
    (line,) = client.get(url(phase, "leaderboard-json")).json()["lines"]
    assert (line["kind"], line["domain_mious"]) == ("baseline", [0.45])


def test_a_baselines_seeds_are_one_mean_of_overall_accuracy(phase: Phase) -> None:
    platform = factories.make_team(phase.challenge, "Reference", is_platform=True)
    for miou, accuracy in ((0.4, 0.6), (0.5, 0.8)):
        factories.give_score(factories.submit(platform, phase, is_baseline=True), miou)
        Score.objects.filter(miou=miou).update(overall_accuracy=accuracy)
    ranks.recompute(phase=phase)
    phase.labels_public = True

    (row,) = leaderboard.of_phase(phase).rows

    assert row.overall_accuracy == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("?sort=team", ["Beech", "Larch", "Oak"]),
        ("?sort=team&up=0", ["Oak", "Larch", "Beech"]),
        ("?sort=miou&up=1", ["Beech", "Oak", "Larch"]),
        ("?q=LAR", ["Larch"]),
        ("?q=nobody", []),
        ("?sort=nonsense&page=99999999999", ["Larch", "Oak", "Beech"]),
        ("?page=-1", ["Larch", "Oak", "Beech"]),
    ],
)
def test_sorting_and_search_work_without_scripts(
    phase: Phase, client: Client, query: str, wanted: list[str]
) -> None:
    board(phase, {"Larch": 0.5, "Oak": 0.4, "Beech": 0.3})
    assert names(client.get(url(phase) + query).content.decode()) == wanted


def test_a_method_leads_to_its_code_and_paper(phase: Phase, client: Client) -> None:
    board(phase, {"Larch": 0.5, "Oak": 0.4})
    Submission.objects.filter(entry__team__name="Oak").update(
        code_url="https://example.org/a?b&c", paper_url="https://example.org/p"
    )
    rows = [match[0] for match in ROW.finditer(client.get(url(phase)).content.decode())]
    assert 'class="source"' not in rows[0]
    assert 'href="https://example.org/a?b&amp;c" rel="noopener nofollow">code<' in rows[1]
    assert ">paper<" in rows[1]


def test_a_hidden_board_shows_nothing_but_that(phase: Phase, client: Client) -> None:
    board(phase, {"Larch": 0.5})
    Phase.objects.filter(pk=phase.pk).update(visibility="organisers")
    assert "Larch" not in client.get(url(phase)).content.decode()
    assert "Larch" not in client.get(url(phase, "leaderboard-csv")).content.decode()
    assert json.loads(client.get(url(phase, "leaderboard-json")).content)["lines"] == []
    assert "Larch" not in client.get(url(phase, "progress")).content.decode()


def test_an_unpublished_phase_is_not_found(phase: Phase, client: Client) -> None:
    Phase.objects.filter(pk=phase.pk).update(is_published=False)
    assert client.get(url(phase)).status_code == 404


def test_csv_cells_are_no_formulas(phase: Phase, client: Client) -> None:
    board(phase, {"=1+1|calc": 0.5})
    answer = client.get(url(phase, "leaderboard-csv"))
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert rows[0]["team"] == "'=1+1|calc"
    assert rows[0]["rank"] == "1"
    assert answer["Content-Disposition"].startswith("attachment")


def test_an_unchanged_board_answers_304_and_a_changed_one_does_not(
    phase: Phase, client: Client
) -> None:
    board(phase, {"Larch": 0.5})
    client.get(url(phase))  # sets the CSRF cookie, which is part of what the page holds
    tag = client.get(url(phase))["ETag"]
    assert client.get(url(phase), headers={"If-None-Match": tag}).status_code == 304
    client.cookies["django_language"] = "fr"
    assert client.get(url(phase), headers={"If-None-Match": tag}).status_code == 200
    client.cookies["django_language"] = "en"
    board(phase, {"Oak": 0.6})
    assert client.get(url(phase), headers={"If-None-Match": tag}).status_code == 200


def test_personal_pages_are_cached_by_the_browser_only(phase: Phase, client: Client) -> None:
    [team] = board(phase, {"Larch": 0.5})
    for name in ("leaderboard", "leaderboard-json"):
        assert client.get(url(phase, name))["Cache-Control"] == "no-cache"
    client.force_login(factories.captain_of(team))
    for name in ("leaderboard", "leaderboard-json"):
        kept = client.get(url(phase, name))
        assert set(kept["Cache-Control"].split(", ")) == {"no-cache", "private"}
        assert "Cookie" in kept["Vary"]


def many_teams(phase: Phase, count: int) -> None:
    """A board of ``count`` teams made in bulk: what matters is its length."""
    teams = Team.objects.bulk_create(
        Team(challenge=phase.challenge, name=f"Team {n:04}") for n in range(count)
    )
    entries = Entry.objects.bulk_create(Entry(team=team, phase=phase) for team in teams)
    now = timezone.now()
    submissions = Submission.objects.bulk_create(
        Submission(
            entry=entry,
            number=1,
            created_at=now,
            archive="x",
            archive_sha256="0" * 64,
            archive_bytes=1,
            method_name="U-Net",
        )
        for entry in entries
    )
    evaluations = phase.ground_truth.evaluations.bulk_create(  # type: ignore[union-attr]
        phase.ground_truth.evaluations.model(  # type: ignore[union-attr]
            submission=submission,
            ground_truth=phase.ground_truth,
            task_spec=phase.task_spec,
            state="scored",
            queued_at=now,
        )
        for submission in submissions
    )
    scores = Score.objects.bulk_create(
        Score(
            evaluation=evaluation,
            miou=1 - position / (2 * count),
            miou_low=0.3,
            miou_high=0.6,
            class_ious={"a": 0.5, "b": 0.25},
            card={},
            engine_version="1",
            content_digest="",
            seconds=1,
            created_at=now,
        )
        for position, evaluation in enumerate(evaluations)
    )
    RankLine.objects.bulk_create(
        RankLine(
            phase=phase,
            entry=entry,
            submission=submission,
            score=score,
            rank=position + 1,
            group=position + 1,
            submission_count=1,
            miou=score.miou,
        )
        for position, (entry, submission, score) in enumerate(
            zip(entries, submissions, scores, strict=True)
        )
    )


@pytest.mark.parametrize("signed_in", [False, True])
def test_four_queries_whatever_the_length(
    phase: Phase,
    visit: Visit,
    signed_in: bool,
    django_assert_max_num_queries: object,
) -> None:
    many_teams(phase, 450)
    user = factories.captain_of(factories.make_team(phase.challenge)) if signed_in else None
    client = visit(user)
    client.get(url(phase))  # menu and tabs are remembered for ten seconds
    with django_assert_max_num_queries(4):  # type: ignore[operator]
        answer = client.get(url(phase) + "?page=2")
    html = answer.content.decode()
    assert len(names(html)) == 200
    assert names(html)[0] == "Team 0200"
    assert 'aria-current="page">2<' in html


def test_a_long_board_is_light(phase: Phase, client: Client) -> None:
    many_teams(phase, 200)
    answer = client.get(url(phase), headers={"Accept-Encoding": "gzip"})
    assert answer["Content-Encoding"] == "gzip"
    assert len(answer.content) < 60_000


def test_progress_is_a_page_and_a_part(phase: Phase, client: Client) -> None:
    board(phase, {"Larch": 0.5, "Oak": 0.6})
    whole = client.get(url(phase, "progress")).content.decode()
    part = client.get(url(phase, "progress"), headers={"HX-Request": "true"}).content.decode()
    assert "<html" in whole
    assert "<html" not in part
    assert part.count("</title></circle>") == 2


def test_nothing_but_the_phase_is_read_for_a_304(
    phase: Phase, client: Client, django_assert_max_num_queries: object
) -> None:
    board(phase, {"Larch": 0.5})
    client.get(url(phase))
    tag = client.get(url(phase))["ETag"]
    cache.clear()
    with django_assert_max_num_queries(1):  # type: ignore[operator]
        assert client.get(url(phase), headers={"If-None-Match": tag}).status_code == 304
