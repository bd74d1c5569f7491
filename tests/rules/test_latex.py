"""A result as a BibTeX entry: what people wrote is printed as it is."""

from __future__ import annotations

from datetime import date

from challenge.rules import latex


def test_what_people_wrote_is_printed_as_it_is() -> None:
    entry = latex.bibtex(
        key="flair-1-test-result-2",
        title="FLAIR #1 & co {x}",
        author="Institut_national",
        on=date(2026, 11, 30),
        url="https://example.org/a_b/?version=2",
        note="Ed25519: a+b/c=",
    )
    assert entry.splitlines() == [
        "@misc{flair-1-test-result-2,",
        r"  title = {{FLAIR \#1 \& co \{x\}}},",
        r"  author = {{Institut\_national}},",
        "  year = {2026},",
        "  month = {11},",
        "  url = {https://example.org/a_b/?version=2},",
        "  note = {Ed25519: a+b/c=},",
        "}",
    ]


def test_an_author_who_is_not_known_is_left_out() -> None:
    entry = latex.bibtex(key="k", title="t", author="", on=date(2026, 1, 2), url="u", note="n")
    assert "author" not in entry
