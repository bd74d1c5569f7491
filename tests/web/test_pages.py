"""Challenge pages, joining, preferences: what whom is shown."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from challenge.embedded.data_folder import ROOT
from challenge.models import Challenge, Phase, Registration
from challenge.rules.roles import Role
from challenge.services.challenges import challenges
from challenge.templatetags.flair import filesize, number, percent, points, seconds
from challenge.templatetags.markdown_html import render
from tests import factories
from tests.web.conftest import Visit

PAGES = ["", "data", "evaluation", "submission", "baselines", "rules", "citation", "news/"]


@pytest.fixture
def flair(db: None) -> Challenge:
    challenges.load(ROOT / "challenges" / "flair-1")
    return Challenge.objects.get(slug="flair-1")


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_a_shipped_challenge_is_there(
    flair: Challenge, visit: Visit, page: str, language: str
) -> None:
    answer = visit(language=language).get(f"/challenges/flair-1/{page}")
    html = answer.content.decode()
    assert answer.status_code == 200
    assert f'<html lang="{language}"' in html
    assert "[[" not in html  # every block was drawn
    assert 'style="' not in html


def test_the_home_page_lists_published_challenges(flair: Challenge, client: Client) -> None:
    factories.make_challenge("secret", is_published=False)
    html = client.get("/").content.decode()
    assert "FLAIR #1" in html
    assert "SECRET" not in html


@pytest.mark.parametrize("address", ["", "rules", "news/", "join/", "submissions/", "team/"])
def test_a_hidden_challenge_is_not_found(visit: Visit, address: str, db: None) -> None:
    factories.make_challenge("secret", is_published=False)
    client = visit(factories.make_user())
    assert client.get(f"/challenges/secret/{address}").status_code == 404


def test_an_organiser_sees_the_hidden_challenge(phase: Phase, visit: Visit) -> None:
    challenge = phase.challenge
    Challenge.objects.filter(pk=challenge.pk).update(is_published=False)
    organiser = factories.make_user()
    factories.make_organiser(challenge, organiser)
    assert visit(organiser).get(f"/challenges/{challenge.slug}/rules").status_code == 200


def test_download_links_are_for_those_who_take_part(flair: Challenge, visit: Visit) -> None:
    link = flair.facts["downloads"][0]["url"]
    assert link not in visit().get("/challenges/flair-1/data").content.decode()
    team = factories.make_team(flair)
    html = visit(factories.captain_of(team)).get("/challenges/flair-1/data").content.decode()
    assert link in html


def test_joining_needs_the_rules_accepted(phase: Phase, visit: Visit) -> None:
    client = visit(factories.make_user("ada"))
    url = reverse("web:join", args=[phase.challenge.slug])
    assert "Be kind." in client.get(url).content.decode()
    assert client.post(url, {}).status_code == 422
    assert not Registration.objects.exists()
    assert client.post(url, {"accept": "on"}).status_code == 302
    assert phase.challenge.teams.get().memberships.get().user.username == "ada"


@pytest.mark.parametrize(
    ("language", "said"), [("en", "is not ranked"), ("fr", "n’est pas classé")]
)
def test_who_has_a_role_is_told_that_it_does_not_rank(
    phase: Phase, visit: Visit, language: str, said: str
) -> None:
    later = timezone.now() + timedelta(days=1)
    Phase.objects.update(closes_at=later)
    overview = reverse("web:challenge", args=[phase.challenge.slug])
    button = f'<a class="button" href="{reverse("web:join", args=[phase.challenge.slug])}">'
    stranger = visit(factories.make_user(), language=language)
    assert button in stranger.get(overview).content.decode()
    editor = factories.make_organiser(phase.challenge, role=Role.EDITOR)
    client = visit(editor, language=language)
    for address in (overview, reverse("web:join", args=[phase.challenge.slug])):
        page = client.get(address).content.decode()
        assert said in page
        assert button not in page


def test_a_visitor_who_joins_is_asked_to_sign_up(phase: Phase, client: Client) -> None:
    answer = client.get(reverse("web:join", args=[phase.challenge.slug]))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/signup/?next=")


def test_preferences_are_stored_in_cookie_and_account(visit: Visit, db: None) -> None:
    user = factories.make_user()
    client = visit(user)
    answer = client.post("/preferences/", {"theme": "dark", "next": "/help/"})
    assert answer["Location"] == "/help/"
    client.post("/preferences/", {"language": "fr", "next": "/"})
    user.refresh_from_db()
    assert (user.theme, user.language) == ("dark", "fr")
    html = client.get("/").content.decode()
    assert 'data-theme="dark"' in html
    assert '<html lang="fr"' in html


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "javascript:x"])
def test_preferences_lead_to_this_site_alone(client: Client, target: str, db: None) -> None:
    answer = client.post("/preferences/", {"theme": "dark", "next": target})
    assert answer["Location"] == "/"


def test_the_accounts_language_holds_where_the_device_has_none(db: None, client: Client) -> None:
    client.force_login(factories.make_user(language="fr"))
    assert '<html lang="fr"' in client.get("/").content.decode()


def test_times_are_written_in_the_viewers_zone(phase: Phase, visit: Visit) -> None:
    Phase.objects.filter(pk=phase.pk).update(closes_at=factories.NOON.replace(year=2090))
    client = visit()
    client.cookies["timezone"] = "Asia/Tokyo"
    html = client.get(f"/challenges/{phase.challenge.slug}/").content.decode()
    assert "4 May 2090 21:00 JST" in html


@pytest.mark.parametrize("address", ["/nowhere/", "/challenges/none/", "/challenges/abc/none"])
def test_a_missing_page_has_its_own_404_page(phase: Phase, client: Client, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


def test_pages_forbid_scripts_and_styles_of_others(client: Client, db: None) -> None:
    policy = client.get("/")["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "unsafe" not in policy


def test_markdown_is_cleaned() -> None:
    html = render(
        "# Title\n\n<script>x</script> [a](javascript:x) ![i](https://e/x.png)\n\n"
        "|a|b|\n|-|-:|\n|1|2|\n"
    )
    assert "<script" not in html
    assert 'href="javascript' not in html
    assert "<h2" in html
    assert "<h1" not in html
    assert '<td class="num">2</td>' in html


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (percent(0.64930), "64.93"),
        (percent(None), "–"),
        (points(-0.00471), "−0.47"),
        (points(0.0), "±0.00"),
        (number(15700), "15,700"),
        (filesize(4_100_000_000), "4.1\u00a0GB"),
        (seconds(192.4), "3 min 12 s"),
    ],
)
def test_values_are_rounded_not_truncated(shown: str, wanted: str) -> None:
    assert shown == wanted
