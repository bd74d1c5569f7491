"""Every link of every page leads to a page, for every kind of visitor, in both languages."""

from __future__ import annotations

import pytest

from tests.web import seed
from tests.web.conftest import Visit
from tests.web.crawl import crawl, is_page, visitor

VISITORS = [
    ("stranger", "en"),
    ("stranger", "fr"),
    ("member", "en"),
    ("member", "fr"),
    ("newcomer", "fr"),
    ("organiser", "en"),
    ("superuser", "fr"),
]
PAGES_AT_LEAST = 25


@pytest.mark.parametrize(("kind", "language"), VISITORS)
def test_every_link_of_every_page_leads_somewhere(
    db: None, visit: Visit, kind: str, language: str
) -> None:
    person = visitor(kind, seed.populate(teams=5))
    client = visit(person, language=language) if person else visit(language=language)
    faults = []
    pages = 0
    for found in crawl(client):
        if found.answer.status_code != 200:
            status = found.answer.status_code
            faults.append(f"{found.linked_from} → {found.address}: {status}")
        elif not is_page(found.answer) and not found.is_named_file:
            kind_found = found.answer.get("Content-Type")
            faults.append(f"{found.linked_from} → {found.address}: {kind_found}, not a page")
        if found.links is not None:
            pages += 1
            missing = found.links.anchors - found.links.identifiers
            faults += [f"{found.address}: nothing is called #{one}" for one in sorted(missing)]
    assert faults == []
    assert pages >= PAGES_AT_LEAST
