"""The browser's check of an archive names problems by the codes of the score engine."""

from __future__ import annotations

import re

from challenge.embedded.data_folder import ROOT
from scoring.engine.problems.catalogue import CATALOGUE

SCRIPTS = sorted((ROOT / "challenge" / "static" / "js" / "archive").glob("*.js"))
CODE = re.compile(r"(?:ArchiveProblem\(|code: )\"([a-z0-9-]+)\"")


def test_every_code_that_the_browser_raises_is_in_the_catalogue() -> None:
    """An unknown code would be shown to a participant in place of a text."""
    codes = {code for path in SCRIPTS for code in CODE.findall(path.read_text(encoding="utf-8"))}

    assert len(codes) > 20
    assert codes <= set(CATALOGUE), codes - set(CATALOGUE)
