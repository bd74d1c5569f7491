"""Every link of every page leads to a page, for every kind of visitor, in both languages."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from django.http import HttpResponse

from challenge.models import Challenge, Phase, User
from tests import factories
from tests.web import seed
from tests.web.conftest import Visit

VISITORS = [
    ("stranger", "en"),
    ("stranger", "fr"),
    ("member", "en"),
    ("member", "fr"),
    ("newcomer", "fr"),
    ("organiser", "en"),
    ("superuser", "fr"),
]
FILE_ENDINGS = (".json", ".csv", ".zip", ".txt", ".xml", ".svg")
# Django's own admin is crawled by tests/admin.
NOT_FOLLOWED = ("/admin/", "/static/", "/media/")
PAGES_AT_LEAST = 25
# Sorting, weighing and paging a board make many addresses of one page.
QUERIES_OF_A_PATH = 2


class Links(HTMLParser):
    """Collects the addresses of a page's links and whether each is offered as a file."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.page = page
        self.addresses: dict[str, bool] = {}
        self.anchors: set[str] = set()
        self.identifiers: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        if identifier := values.get("id"):
            self.identifiers.add(identifier)
        href = values.get("href")
        if tag != "a" or not href or urlsplit(href).scheme in {"mailto", "data"}:
            return
        address, anchor = urldefrag(urljoin(self.page, href))
        if urlsplit(address).netloc:
            return
        if address == self.page and anchor:
            self.anchors.add(anchor)
        self.addresses[address] = "download" in values


def visitor(kind: str, phase: Phase) -> User | None:
    if kind == "stranger":
        return None
    if kind == "member":
        return User.objects.get(username="ada")
    person = factories.make_user(kind)
    if kind == "organiser":
        for challenge in Challenge.objects.all():
            factories.make_organiser(challenge, person)
    if kind == "superuser":
        person.is_superuser = True
        person.save()
    return person


def is_page(answer: HttpResponse) -> bool:
    return (answer.get("Content-Type") or "").startswith("text/html")


@pytest.mark.parametrize(("kind", "language"), VISITORS)
def test_every_link_of_every_page_leads_somewhere(
    db: None, visit: Visit, kind: str, language: str
) -> None:
    phase = seed.populate(teams=5)
    person = visitor(kind, phase)
    client = visit(person, language=language) if person else visit(language=language)
    waiting, seen, faults = ["/"], {"/"}, []
    linked_from: dict[str, str] = {"/": "the start"}
    pages = 0
    queries: Counter[str] = Counter()
    while waiting:
        address = waiting.pop()
        answer = client.get(address)
        if answer.status_code in {301, 302}:
            target = urldefrag(urljoin(address, answer["Location"]))[0]
            if target not in seen and not urlsplit(target).netloc:
                seen.add(target)
                linked_from[target] = address
                waiting.append(target)
            continue
        named_file = urlsplit(address).path.endswith(FILE_ENDINGS) or "format=" in address
        if answer.status_code != 200:
            faults.append(f"{linked_from[address]} → {address}: {answer.status_code}")
        elif not is_page(answer) and not named_file:
            kind_found = answer.get("Content-Type")
            faults.append(f"{linked_from[address]} → {address}: {kind_found}, not a page")
        if answer.status_code != 200 or not is_page(answer):
            continue
        pages += 1
        links = Links(address)
        links.feed(answer.content.decode())
        missing = links.anchors - links.identifiers
        faults += [f"{address}: nothing is called #{anchor}" for anchor in sorted(missing)]
        for found, is_file in links.addresses.items():
            path = urlsplit(found).path
            if found in seen or is_file or path.startswith(NOT_FOLLOWED):
                continue
            if urlsplit(found).query:
                queries[path] += 1
                if queries[path] > QUERIES_OF_A_PATH:
                    continue
            seen.add(found)
            linked_from[found] = address
            waiting.append(found)
    assert faults == []
    assert pages >= PAGES_AT_LEAST
