"""A hook of mkdocs: the Markdown files of the project's root become pages of the site, too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security-policy.md",
}
# In the root's files the documents are below docs/, in the documents the root's files above.
BELOW = re.compile(r"\]\(docs/(?P<path>[^)]*)\)")
ROOT_FILE = re.compile(
    r"\]\((?:\.\./)?(?P<name>" + "|".join(map(re.escape, PAGES)) + r")(?P<rest>[#)])"
)
FOLDER = re.compile(r"\]\((?P<path>(?:[a-z]+/)+)\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the root's files under their names in the site."""
    for source, name in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        text = BELOW.sub(r"](\g<path>)", text)
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links to the root's files lead to their pages, and links to folders to their README."""
    markdown = ROOT_FILE.sub(lambda m: f"]({PAGES[m['name']]}{m['rest']}", markdown)
    return FOLDER.sub(r"](\g<path>README.md)", markdown)
