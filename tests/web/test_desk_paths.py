"""Every act of the desk is at most three links away from its first page, as the guide says."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from challenge.embedded.data_folder import ROOT
from challenge.models import Page, Phase
from challenge.selectors.messages import Audience
from challenge.services.challenges import page_editing
from challenge.services.notifications import messages
from tests import factories
from tests.web import desk_addresses
from tests.web.conftest import Visit

GUIDE = ROOT / "docs" / "organisers.md"
LINKS_AT_MOST = 3


class Main(HTMLParser):
    """The links of a page's main part by their words, and all its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: dict[str, str] = {}
        self.text = ""
        self.href, self.words = "", ""
        self.feed(re.sub(r"(?s)^.*?<main", "<main", html).partition("</main>")[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.href, self.words = dict(attrs).get("href") or "", ""

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"
        self.words += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self.links.setdefault(" ".join(self.words.split()), self.href)


def listed() -> list[tuple[str, list[str], str]]:
    """Return the guide's rows: the act, the links that lead to it, what is there."""
    table = GUIDE.read_text(encoding="utf-8").partition("## Where it is")[2]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")]
    return [
        (act.strip(), [one.strip() for one in path.split("→")], there.strip())
        for act, path, there in rows[1:]
    ]


@pytest.fixture
def owner(db: None, visit: Visit) -> Client:
    """An owner of a challenge with a closed phase, a team, a page and a message."""
    now = timezone.now()
    phase = factories.make_phase(
        name={"en": "Test", "fr": "Test"},
        opens_at=now - timedelta(days=9),
        finals_limit=1,
        grace_minutes=9_000,
        closes_at=None,
    )
    challenge = phase.challenge
    for slug, title in (("overview", "Overview"), ("rules", "Rules")):
        page = Page.objects.create(
            challenge=challenge, slug=slug, language="en", title=title, markdown="Hello."
        )
        page_editing.keep(page, actor=None)
    team = factories.make_team(challenge, "Alpha")
    factories.submit(team, phase, at=now - timedelta(days=2))
    Phase.objects.filter(pk=phase.pk).update(closes_at=now - timedelta(days=1))
    user = factories.make_organiser(challenge)
    user.user_permissions.add(Permission.objects.get(codename="add_challenge"))
    messages.send(
        challenge=challenge,
        actor=user,
        subject={"en": "Hello"},
        body={"en": "Welcome."},
        audience=Audience(),
        expected=challenge.registrations.count(),
    )
    return visit(user)


def test_every_act_is_where_the_guide_says_within_three_links(owner: Client) -> None:
    rows = listed()
    assert len(rows) > 30
    wrong = []
    for act, path, there in rows:
        address = reverse("web:desk", args=["abc"])
        for words in path:
            links = Main(owner.get(address).content.decode()).links
            if words not in links:
                wrong.append(f"{act}: no link “{words}” on {address}: {sorted(links)}")
                break
            address = links[words]
        else:
            if there not in " ".join(Main(owner.get(address).content.decode()).text.split()):
                wrong.append(f"{act}: no “{there}” on {address}")
        assert len(path) <= LINKS_AT_MOST, act
    assert wrong == []


def test_the_guide_leads_to_every_page_of_the_desk(owner: Client) -> None:
    """A page that somebody adds has its row: links of rows reach every route that is read."""
    seen: set[str] = set()
    first = reverse("web:desk", args=["abc"])
    for _act, path, _there in listed():
        address = first
        for words in path:
            page = Main(owner.get(address).content.decode())
            seen |= set(page.links.values())
            address = page.links[words]
        seen |= {address, *Main(owner.get(address).content.decode()).links.values()}
    patterns = {
        route: re.compile("^/" + re.sub(r"<\w+:\w+>", "[^/]+", route) + "$")
        for route in desk_addresses.routes()
    }
    paths = {one.partition("?")[0] for one in seen} | {first}
    # Answers of forms; certificates have a link once a result is signed.
    posted = {"settle", "registrations/<int:pk>", "export.zip", "certificates.zip"}
    lost = [
        route
        for route, pattern in patterns.items()
        if not any(pattern.match(path) for path in paths)
        and not any(route.rstrip("/").endswith(one) for one in posted)
    ]
    assert lost == [], "\n".join(lost)
