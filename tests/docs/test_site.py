"""The documents as a site: built without a warning, and complete without any other host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Loaded(HTMLParser):
    """Collects the addresses that a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag in {"script", "img", "iframe", "source"}:
            self.addresses.append(given.get("src") or "")
        elif tag == "link" and given.get("rel") != "canonical":
            self.addresses.append(given.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    foreign = {}
    for page in site.rglob("*.html"):
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        if elsewhere := [a for a in loaded.addresses if re.match(r"(?:[a-z]+:)?//", a)]:
            foreign[page.name] = elsewhere
    assert foreign == {}


@pytest.mark.parametrize(
    "name", ["index", "contributing", "changelog", "security", "security-policy", "glossary"]
)
def test_site_has_the_page(site: Path, name: str) -> None:
    assert (site / f"{name}.html").stat().st_size > 5000


def test_every_decision_is_in_the_site(site: Path) -> None:
    records = {path.stem for path in (ROOT / "docs/decisions").glob("[0-9]*.md")}
    assert records <= {path.stem for path in (site / "decisions").glob("*.html")}
