"""What people and programs start from: patch lists, sample archives, dates, badges, site map."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from django.core.cache import cache
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from challenge.models import Phase, Submission, Team
from challenge.selectors import pages
from challenge.services.challenges import challenges
from scoring.engine.scorer import child
from scoring.engine.scorer.verdicts import Valid
from scoring.engine.task import specification as specs
from tests import factories
from tests.web.conftest import Visit

pytestmark = pytest.mark.django_db
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def practice() -> Phase:
    """The practice phase of FLAIR #1 as it is shipped."""
    challenges.load(Path("challenges/flair-1"))
    phase = Phase.objects.get(challenge__slug="flair-1", slug="practice")
    type(phase.challenge).objects.update(is_published=True)
    Phase.objects.update(is_published=True)
    return phase


def address(name: str, phase: Phase, *more: Any) -> str:
    return reverse(f"web:{name}", args=[phase.challenge.slug, phase.slug, *more])


def test_the_list_of_patches_is_a_table(practice: Phase, visit: Visit) -> None:
    answer = visit().get(address("patch-list", practice))
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert len(rows) == len(practice.public_patches) > 0
    assert list(rows[0]) == ["domain", "zone", "patch"]
    assert rows[0]["patch"] in {patch for patch, _domain, _zone in practice.public_patches}


def test_the_sample_is_an_archive_that_is_accepted(
    practice: Phase, visit: Visit, tmp_path: Path
) -> None:
    captain = factories.captain_of(factories.make_team(practice.challenge))
    answer = visit(captain).get(address("sample-archive", practice))
    assert answer["Content-Disposition"] == 'attachment; filename="flair-1-practice-sample.zip"'
    path = tmp_path / "sample.zip"
    path.write_bytes(b"".join(answer.streaming_content))
    assert practice.task_spec is not None
    verdict = child.validate(
        spec=specs.from_json(practice.task_spec.data),
        archive_path=path,
        expected_ids=[patch for patch, _domain, _zone in practice.public_patches],
        timeout_s=300,
    )
    assert isinstance(verdict, Valid), verdict


def test_dates_are_events_in_the_readers_language(phase: Phase, visit: Visit) -> None:
    Phase.objects.filter(pk=phase.pk).update(
        opens_at=datetime(2030, 3, 1, 12, tzinfo=UTC), closes_at=datetime(2030, 4, 1, tzinfo=UTC)
    )
    type(phase.challenge).objects.update(title={"en": "Long; title, " + "é" * 60, "fr": "Court"})
    url = reverse("web:dates", args=[phase.challenge.slug])
    answer = visit().get(url)
    assert answer["Content-Type"] == "text/calendar; charset=utf-8"
    text = answer.content.decode()
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    unfolded = text.replace("\r\n ", "")
    assert unfolded.count("BEGIN:VEVENT") == 2
    assert "DTSTART:20300301T120000Z\r\n" in unfolded
    assert "DTSTART:20300401T000000Z\r\n" in unfolded
    assert "SUMMARY:Long\\; title\\, " + "é" * 60 + ": the phase “" in unfolded
    french = visit(language="fr").get(url).content.decode().replace("\r\n ", "")
    assert "SUMMARY:Court\xa0: la phase «\xa0" in french
    hidden = factories.make_phase(phase.challenge, "hidden", is_published=False)
    assert f"closes-{hidden.pk}@" not in visit().get(url).content.decode()


def test_a_badge_shows_what_strangers_see(phase: Phase, team: Team, visit: Visit) -> None:
    url = address("badge", phase, team.pk)
    assert visit().get(url).status_code == 404
    made: Submission = factories.submit(team, phase, at=timezone.now())
    factories.give_score(made, 0.5443)
    Team.objects.filter(pk=team.pk).update(name="<Larch> & co")
    answer = visit().get(url)
    assert answer["Content-Type"] == "image/svg+xml; charset=utf-8"
    picture = ET.fromstring(answer.content)
    texts = [text.text or "" for text in picture.iter(f"{SVG}text")]
    assert re.fullmatch(r"rank 1 · mIoU \d\d\.\d\d\xa0%", texts[1])
    assert "max-age=300" in answer["Cache-Control"]
    Phase.objects.filter(pk=phase.pk).update(visibility="organisers")
    for person in (None, factories.captain_of(team)):
        assert visit(person).get(url).status_code == 404


def test_robots_find_what_is_published_and_nothing_else(
    phase: Phase, visit: Visit, settings: Any
) -> None:
    settings.SITE_URL = "https://flair.example.org"
    robots = visit().get("/robots.txt").content.decode()
    assert "Sitemap: https://flair.example.org/sitemap.xml" in robots
    assert "Disallow: /submissions/" in robots
    other = factories.make_challenge("draft", is_published=False)
    owner = factories.make_organiser(other)
    for person in (None, owner):
        answer = visit(person).get("/sitemap.xml")
        assert answer["Content-Type"] == "application/xml"
        locations = [one.text or "" for one in ET.fromstring(answer.content).iter() if one.text]
        listed = [text for text in locations if text.startswith("https://flair.example.org/")]
        assert f"https://flair.example.org/challenges/{phase.challenge.slug}/rules" in listed
        assert "https://flair.example.org/about/legal/" in listed
        assert not [text for text in listed if "draft" in text]
    for listed_address in listed:
        path = listed_address.removeprefix("https://flair.example.org")
        assert Client().get(path).status_code == 200


def test_finders_of_holes_are_told_whom_to_write_to(visit: Visit, settings: Any) -> None:
    assert visit().get("/.well-known/security.txt").status_code == 404
    settings.CONTACT_EMAIL = "security@example.org"
    text = visit().get("/.well-known/security.txt").content.decode()
    assert "Contact: mailto:security@example.org\n" in text
    expires = re.search(r"Expires: (\S+)", text)
    assert expires is not None
    assert datetime.fromisoformat(expires[1]) > timezone.now()


def test_a_page_names_its_address_and_a_picture(phase: Phase, visit: Visit, settings: Any) -> None:
    settings.SITE_URL = "https://flair.example.org"
    html = visit().get(f"/challenges/{phase.challenge.slug}/?x=1").content.decode()
    canonical = f"https://flair.example.org/challenges/{phase.challenge.slug}/"
    assert f'<link rel="canonical" href="{canonical}">' in html
    assert re.search(
        r'property="og:image" content="https://flair.example.org/static/\S+webp"', html
    )


def test_each_language_of_a_page_has_an_address_of_its_own(
    phase: Phase, visit: Visit, settings: Any
) -> None:
    settings.SITE_URL = "https://flair.example.org"
    path = f"/challenges/{phase.challenge.slug}/"
    plain = f"https://flair.example.org{path}"
    for client, shown in ((visit(), "fr"), (visit(factories.make_user()), "en")):
        asked = {"fr": "en", "en": "fr"}[shown]
        client.cookies["django_language"] = asked  # the address wins over what was chosen
        answer = client.get(f"{path}?lang={shown}")
        assert answer["Content-Language"] == shown
        assert "django_language" not in answer.cookies
        html = answer.content.decode()
        assert f'<html lang="{shown}"' in html
        assert f'<link rel="canonical" href="{plain}?lang={shown}">' in html
        for code, there in (("en", "?lang=en"), ("fr", "?lang=fr"), ("x-default", "")):
            assert f'<link rel="alternate" hreflang="{code}" href="{plain}{there}">' in html
    assert "xhtml:link" in visit().get("/sitemap.xml").content.decode()


def test_who_chose_no_language_keeps_the_one_of_the_link_followed(phase: Phase) -> None:
    stranger = Client()
    stranger.get(f"/challenges/{phase.challenge.slug}/?lang=fr")
    assert '<html lang="fr"' in stranger.get("/").content.decode()
    assert stranger.get("/?lang=de")["Content-Language"] == "fr"  # no such language here
    answer = stranger.post("/preferences/", {"language": "en", "next": "/?x=1&lang=fr"})
    assert answer["Location"] == "/?x=1"
    assert '<html lang="en"' in stranger.get("/").content.decode()
    # a signed-in person's own language stays
    signed_in = Client()
    signed_in.force_login(factories.make_user())
    assert "django_language" not in signed_in.get("/?lang=fr").cookies
    assert '<html lang="en"' in signed_in.get("/").content.decode()


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("our fault"), 500), (OperationalError("away"), 503)]
)
def test_a_page_of_a_fault_looks_like_the_site(
    db: None, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(pages, "home", fail)
    client = Client(raise_request_exception=False)
    answer = client.get("/")
    assert answer.status_code == status
    html = answer.content.decode()
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', html):
        served = client.get(address)
        assert served.status_code == 200, address
        b"".join(cast(Iterator[bytes], served.streaming_content))
    assert "css/site.css" in html
    assert 'lang="fr"' in html


def test_joining_and_submitting_lead_to_pages_that_are_there(phase: Phase, visit: Visit) -> None:
    slug = phase.challenge.slug
    join = reverse("web:join", args=[slug])
    assert visit().get(join)["Location"] == f"/accounts/signup/?next={join}"
    assert visit(factories.make_user()).post(join, {"accept": "on"})["Location"] == (
        f"/challenges/{slug}/"
    )
    team = factories.make_team(phase.challenge)
    submit = visit(factories.captain_of(team)).get(address("submit", phase)).content.decode()
    assert f'href="/challenges/{slug}/submission"' not in submit
    for page in ("data", "submission"):
        phase.challenge.pages.create(slug=page, language="en", title=page, markdown=page)
    cache.clear()
    assert visit(factories.make_user()).post(join, {"accept": "on"})["Location"] == (
        f"/challenges/{slug}/data"
    )
    submit = visit(factories.captain_of(team)).get(address("submit", phase)).content.decode()
    assert f'href="/challenges/{slug}/submission"' in submit
    Phase.objects.filter(pk=phase.pk).update(labels_public=True)
    cache.clear()
    assert visit(factories.make_user()).post(join, {"accept": "on"})["Location"] == (
        address("submit", phase)
    )
    data = visit(factories.captain_of(team)).get(f"/challenges/{slug}/data").content.decode()
    assert 'id="kit"' in data
    assert 'id="first-steps"' in data
