"""HTML and Markdown of a bundle's pages as Markdown that a challenge's page may hold. Pure."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from challenge.rules import page_blocks

_HEADINGS = {"h1": "## ", "h2": "## ", "h3": "### ", "h4": "#### ", "h5": "#### ", "h6": "#### "}
_MARKS = {"strong": "**", "b": "**", "em": "*", "i": "*", "code": "`"}
_BLOCKS = {"p", "div", "section", "ul", "ol", "table", "tr", "blockquote", "pre", "article"}
_SKIPPED = {"script", "style", "head", "template", "noscript"}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)[^)]*\)")
_OUTSIDE = re.compile(r"https?://|mailto:|#", re.IGNORECASE)
_LOOKS_LIKE_HTML = re.compile(r"<(p|div|h[1-6]|ul|ol|table|br|span)\b", re.IGNORECASE)


def to_markdown(text: str, *, name: str = "") -> tuple[str, int]:
    """Return a page's text as Markdown, and how many links and pictures were taken out.

    They lead to files of the bundle, which is not kept.
    """
    if name.lower().endswith((".html", ".htm")) or _LOOKS_LIKE_HTML.search(text):
        parser = _Converter()
        parser.feed(text)
        parser.close()
        text = parser.markdown()
    dropped = 0

    def check(link: re.Match[str]) -> str:
        nonlocal dropped
        if _OUTSIDE.match(link[3]) and not link[1]:
            return link[0]
        dropped += 1
        return link[2]

    text = _LINK.sub(check, text.replace("\x00", ""))
    for _line, mark in page_blocks.unknown(text):
        text = text.replace(f"[[{mark}]]", f"\\[\\[{mark}]]")
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n", dropped


class _Converter(HTMLParser):
    """The words of a page with its headings, lists, links and emphasis; everything else goes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._skipping = 0
        self._links: list[str] = []

    def markdown(self) -> str:
        """Return what was read."""
        lines = "".join(self._parts).splitlines()
        return "\n".join(line.strip() for line in lines)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a block, a mark or a link."""
        if tag in _SKIPPED:
            self._skipping += 1
        elif tag in _HEADINGS:
            self._parts.append(f"\n\n{_HEADINGS[tag]}")
        elif tag == "li":
            self._parts.append("\n- ")
        elif tag == "br":
            self._parts.append("\n")
        elif tag in _BLOCKS:
            self._parts.append("\n\n")
        elif tag in {"td", "th"}:
            self._parts.append(" ")
        elif tag in _MARKS:
            self._parts.append(_MARKS[tag])
        elif tag == "a":
            self._links.append(dict(attrs).get("href") or "")
            self._parts.append("[")

    def handle_endtag(self, tag: str) -> None:
        """End a block, a mark or a link."""
        if tag in _SKIPPED:
            self._skipping = max(0, self._skipping - 1)
        elif tag in _MARKS:
            self._parts.append(_MARKS[tag])
        elif tag == "a" and self._links:
            target = self._links.pop()
            self._parts.append(f"]({target})" if target else "]")
        elif tag in _HEADINGS or tag in _BLOCKS:
            self._parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        """Keep the words, on one line."""
        if not self._skipping:
            self._parts.append(re.sub(r"\s+", " ", data))
