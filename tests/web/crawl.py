"""Follow every link of every page, as one kind of visitor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from django.http import HttpResponse
from django.test import Client

from challenge.models import Challenge, Phase, User
from tests import factories

FILE_ENDINGS = (
    *(".json", ".csv", ".tex", ".zip", ".txt", ".xml", ".svg", ".ics"),
    *(".py", ".ipynb", ".whl"),
)
# Django's own admin is crawled by tests/admin.
NOT_FOLLOWED = ("/admin/", "/static/", "/media/")
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


@dataclass(frozen=True)
class Visited:
    """An answer that was no redirection, and the page whose link led to it."""

    address: str
    linked_from: str
    answer: Any
    links: Links | None

    @property
    def is_named_file(self) -> bool:
        """Whether the address says that it is no page."""
        return urlsplit(self.address).path.endswith(FILE_ENDINGS) or "format=" in self.address


def visitor(kind: str, phase: Phase) -> User | None:
    """A stranger (None), a member of a team, a newcomer, an organiser or a superuser."""
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
    """Whether an answer is HTML."""
    return (answer.get("Content-Type") or "").startswith("text/html")


def crawl(client: Client) -> Iterator[Visited]:
    """Every answer that links lead to from the home page; pages come with their links."""
    waiting, seen = ["/"], {"/"}
    linked_from: dict[str, str] = {"/": "the start"}
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
        if answer.streaming:
            for _part in answer:  # its file is closed once all is read
                pass
        if answer.status_code != 200 or not is_page(answer):
            yield Visited(address, linked_from[address], answer, None)
            continue
        links = Links(address)
        links.feed(answer.content.decode())
        yield Visited(address, linked_from[address], answer, links)
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
