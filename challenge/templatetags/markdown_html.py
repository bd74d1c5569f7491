"""Organisers' Markdown to clean HTML: tables, anchors, no script whatever they paste."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urljoin

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from mdit_py_plugins.anchors import anchors_plugin
from mdit_py_plugins.footnote import footnote_plugin

TAGS = {
    "a", "abbr", "b", "blockquote", "br", "caption", "code", "dd", "del", "details", "div", "dl",
    "dt", "em", "figcaption", "figure", "h2", "h3", "h4", "h5", "hr", "i", "img", "kbd", "li",
    "ol", "p", "pre", "q", "s", "section", "small", "span", "strong", "sub", "summary", "sup",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {
    "a": {"href", "title", "id"},
    "abbr": {"title"},
    "code": {"class"},
    "h2": {"id"},
    "h3": {"id"},
    "h4": {"id"},
    "img": {"src", "alt", "title", "width", "height"},
    "li": {"id"},
    "td": {"class"},
    "th": {"class"},
}
CLASSES_OF_ALIGNMENT = {"text-align:right": "num", "text-align:center": "center"}


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "typographer": False})
    parser.enable(["table", "strikethrough"])
    parser.use(footnote_plugin)
    parser.use(anchors_plugin, min_level=2, max_level=3)
    return parser


PARSER = _parser()
HEADING = re.compile(r'<h2 id="([^"]+)">(.*?)</h2>', re.DOTALL)
TAG = re.compile(r"<[^>]+>")


@lru_cache(maxsize=256)
def render(source: str, base: str = "") -> SafeString:
    """Return ``source`` as HTML that holds no script, style, form or foreign frame.

    ``base`` is the address that relative links begin at, wherever the text is shown; empty: the
    address of the page.

    A first-level heading becomes a second-level one (the page has its own), aligned table cells
    get a class in place of the style attribute that the Content-Security-Policy would block.
    """
    tokens = PARSER.parse(source)
    for token in tokens:
        if token.type in ("heading_open", "heading_close") and token.tag == "h1":
            token.tag = "h2"
        if token.type in ("th_open", "td_open"):
            name = CLASSES_OF_ALIGNMENT.get(str(token.attrs.pop("style", "")))
            if name:
                token.attrs["class"] = name
    html = PARSER.renderer.render(tokens, PARSER.options, {})
    clean = nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener nofollow",
        url_relative=lambda url: url if url.startswith("#") else urljoin(base, url),
    )
    # a table may be wider than a phone: it scrolls, so a keyboard must reach it
    return mark_safe(clean.replace("<table>", '<table tabindex="0">'))


def headings(source: str) -> list[tuple[str, SafeString]]:
    """Return (anchor, title) of the second-level headings of ``source``.

    >>> headings("## The *task*")
    [('the-task', 'The task')]
    """
    # the tags go, the escapes stay: what is left is safe to print
    return [
        (anchor, mark_safe(TAG.sub("", title))) for anchor, title in HEADING.findall(render(source))
    ]
