"""The site's own pages: the text that comes with the platform, and what operators write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from challenge import env
from challenge.errors import NotAllowed, Refusal
from challenge.models import AuditEvent, SitePage, User
from challenge.services import site_pages
from challenge.services.notifications import mails
from tests import factories
from tests.web.conftest import Visit

pytestmark = pytest.mark.django_db

LANGUAGES = [code for code, _name in django_settings.LANGUAGES]


@pytest.fixture(autouse=True)
def _no_kept_titles() -> None:
    cache.clear()


@pytest.fixture
def operator() -> User:
    return factories.make_user("op", is_superuser=True)


def save(actor: User, *, slug: str = "legal", language: str = "en", **changes: object) -> SitePage:
    words: dict[str, object] = {"title": "Legal notice", "markdown": "IGN.", "seen": 0}
    return site_pages.save(actor=actor, slug=slug, language=language, **(words | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("slug", SitePage.Slug.values)
def test_each_page_says_something_true_before_anybody_wrote_it(
    client: Client, settings: Settings, slug: str, language: str
) -> None:
    settings.CONTACT_EMAIL, settings.ORGANISATION_NAME = "who@example.org", "Institut & Cie"
    client.cookies["django_language"] = language
    page = client.get(reverse("web:site-page", args=[slug])).content.decode()
    assert "mailto:who@example.org" in page
    assert "Institut &amp; Cie" in page
    assert "<h2" in page
    assert "{%" not in page
    settings.CONTACT_EMAIL = settings.ORGANISATION_NAME = ""
    page = client.get(reverse("web:site-page", args=[slug])).content.decode()
    assert "mailto:" not in page


def test_what_an_operator_writes_is_shown_and_linked_from_every_page(
    operator: User, visit: Visit
) -> None:
    boss, stranger = visit(operator), Client()
    assert "Legal notice</a>" in stranger.get("/").content.decode()
    url = reverse("web:site-page-edit", args=["legal", "en"])
    form = {"title": "Imprint", "markdown": "## IGN\n\n<script>alert(1)</script>", "seen": "0"}
    previewed = boss.post(url, form | {"act": "preview"})
    assert previewed.status_code == 200
    assert not SitePage.objects.exists()
    saved = boss.post(url, form | {"act": "save"})
    assert saved.url == reverse("web:site-page", args=["legal"])
    page = stranger.get(saved.url).content.decode()
    assert ">IGN</h2>" in page
    assert "<script>alert" not in page
    assert "Imprint</a>" in stranger.get("/").content.decode()
    assert reverse("web:site-page-edit", args=["legal", "en"]) not in page
    event = AuditEvent.objects.get(action="site-page.save")
    assert (event.target, event.data) == ("legal.en", {"before": None, "after": 1})


def test_each_save_is_a_version_and_nobody_overwrites_another(operator: User, visit: Visit) -> None:
    first = save(operator)
    assert save(operator, seen=1) == first  # the same text
    assert save(operator, markdown="IGN, Saint-Mandé.", seen=1).number == 2
    with pytest.raises(Refusal, match="Somebody else saved this page"):
        save(operator, markdown="Mine.", seen=1)
    assert [one.number for one in SitePage.objects.all()] == [2, 1]
    url = reverse("web:site-page-edit", args=["legal", "en"])
    form = {"title": "Legal notice", "markdown": "Mine.", "seen": "1", "act": "save"}
    answer = visit(operator).post(url, form)
    assert answer.status_code == 409
    assert "Mine." in answer.content.decode()
    assert "Saint-Mandé" in visit(operator).get(url).content.decode()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"title": " "}, "page-title-invalid"),
        ({"title": "x" * 201}, "page-title-invalid"),
        ({"markdown": " \n"}, "page-empty"),
        ({"markdown": "x" * 100_001}, "page-too-long"),
        ({"slug": "imprint"}, "not-found"),
        ({"language": "de"}, "not-found"),
    ],
)
def test_what_is_no_page_is_refused(operator: User, changes: dict[str, str], code: str) -> None:
    with pytest.raises(Refusal) as refused:
        save(operator, **changes)  # type: ignore[arg-type]
    assert refused.value.code == code
    assert not SitePage.objects.exists()


def test_organisers_write_none_of_them() -> None:
    owner = factories.make_organiser(factories.make_challenge())
    with pytest.raises(NotAllowed):
        save(owner)


def test_the_site_has_the_name_and_the_logo_of_who_runs_it(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
    settings.SITE_NAME, settings.LOGO_FILE = "Géoplateforme", logo
    settings.ORGANISATION_NAME, settings.ORGANISATION_URL = "IGN", "https://www.ign.fr"
    page = client.get("/").content.decode()
    assert "· Géoplateforme</title>" in page
    assert f'src="{reverse("web:logo")}"' in page
    assert '<a href="https://www.ign.fr" rel="noopener">IGN</a>' in page
    answer = client.get(reverse("web:logo"))
    assert answer["Content-Type"] == "image/svg+xml"
    assert b"".join(answer) == logo.read_bytes()
    assert "script-src" not in answer["Content-Security-Policy"]
    assert answer["Content-Security-Policy"].startswith("default-src 'none'")


def test_mails_about_an_account_end_with_the_name_of_the_site(
    client: Client, settings: Settings
) -> None:
    settings.SITE_NAME = "Géoplateforme"
    person = factories.make_user()
    client.post("/accounts/password/reset/", {"email": person.email})
    mails.send_due()
    (sent,) = mail.outbox
    assert sent.to == [person.email]
    assert sent.body.rstrip().endswith("Géoplateforme")
    assert "FLAIR" not in sent.body


@pytest.mark.parametrize(
    ("name", "said"), [("logo.gif", "allowed are files .svg, .png"), ("none.svg", "no such file")]
)
def test_a_logo_that_cannot_be_shown_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "logo.gif").write_bytes(b"GIF89a")
    monkeypatch.setenv("LOGO_FILE", str(tmp_path / name))
    with pytest.raises(env.BadSetting, match=said):
        env.file("LOGO_FILE", suffixes=(".svg", ".png"))
