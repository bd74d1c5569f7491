"""Third-party files: known, licensed, unchanged, and nothing fetched from elsewhere."""

from __future__ import annotations

import hashlib
import re

import pytest

from challenge.embedded.data_folder import ROOT
from challenge.web.geography import code_of, departments
from challenge.web.vendored import FOLDER, Vendored, manifest

STATIC = ROOT / "challenge" / "static"


@pytest.mark.parametrize("line", manifest(), ids=lambda line: line["path"])
def test_each_file_is_the_one_in_the_manifest(line: Vendored) -> None:
    path = (FOLDER / line["path"]).resolve()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == line["sha256"]
    assert all(line[key] for key in ("package", "version", "licence"))  # type: ignore[literal-required]


def test_each_file_has_a_line_and_each_folder_a_licence() -> None:
    listed = {line["path"] for line in manifest()}
    for path in FOLDER.rglob("*"):
        name = path.relative_to(FOLDER).as_posix()
        if path.is_file() and path.name != "manifest.json" and "LICENSE" not in path.name:
            assert name in listed
            assert any(path.parent.glob("LICENSE*"))


def test_no_source_maps_are_promised() -> None:
    for path in FOLDER.rglob("*.js"):
        assert "sourceMappingURL" not in path.read_text(encoding="utf-8")


def test_nothing_is_loaded_from_another_site() -> None:
    own = [*STATIC.glob("css/*.css"), *STATIC.glob("js/**/*.js")]
    assert any(path.parent.name == "submit" for path in own)
    templates = (ROOT / "challenge" / "templates").rglob("*.html")
    for path in [*own, *templates]:
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"/\*\*.*?\*/", "", text, flags=re.DOTALL)  # types name their module
        assert not re.search(r"(?:src|href)=\"https?:|url\(\"?https?:|import\(|@import", text), path


def test_fonts_are_small() -> None:
    for path in FOLDER.glob("fonts/*.woff2"):
        assert path.stat().st_size < 60_000


def test_every_domain_of_the_shipped_challenges_is_on_the_map() -> None:
    text = "".join(
        path.read_text(encoding="utf-8") for path in ROOT.glob("challenges/*/challenge.toml")
    )
    domains = set(re.findall(r"\bD\d{3}_\d{4}\b", text))
    assert domains
    assert all(code_of(domain) in departments() for domain in domains)
