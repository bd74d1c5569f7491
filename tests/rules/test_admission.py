"""Lists of addresses and mail domains, as organisers send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from challenge.rules import admission
from challenge.rules.admission import BadLine


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("a@b.org\r\n@ign.fr\r\n", ["a@b.org", "@ign.fr"]),
        ("name,E-Mail,x\nAda,ada@b.org,1\n", ["ada@b.org"]),
        ("nom;courriel\nAda;ada@b.org\n", ["ada@b.org"]),
        ('email\n"ada@b.org"\n', ["ada@b.org"]),
        ("# from the form of May\n\n<ada@b.org>\n *@b.org \n", ["ada@b.org", "@b.org"]),
        ("ada@b.org\tAda\n", ["ada@b.org"]),
        ("ada@B.org\nADA+x@b.org\nada@b.org", ["ada@b.org"]),
        ("élodie@éducation.fr", ["élodie@éducation.fr"]),
        ("", []),
    ],
)
def test_lists_are_read(text: str, entries: list[str]) -> None:
    listed = admission.read(text)
    assert listed.entries == entries
    assert not listed.bad


@pytest.mark.parametrize(
    "wrong",
    ["nobody", "b.org", "a@b", "a b@c.org", "@", "a@@b.org", "a@b..org", "x" * 250 + "@b.org"],
)
def test_a_wrong_line_is_named_by_its_number(wrong: str) -> None:
    listed = admission.read(f"ada@b.org\n\n{wrong}\nbo@b.org\n")
    assert listed.entries == ["ada@b.org", "bo@b.org"]
    assert listed.bad == [BadLine(3, wrong[:80])]


def test_what_is_repeated_is_counted_and_a_long_list_ends() -> None:
    assert admission.read("a@b.org\nA@b.org\na+x@b.org").repeated == 2
    lines = [f"p{n}@b.org" for n in range(admission.LINES_LIMIT + 1)]
    listed = admission.read("\n".join(lines))
    assert listed.too_many
    assert len(listed.entries) == admission.LINES_LIMIT


@given(st.text(max_size=300))
def test_nothing_that_is_sent_breaks_it_and_what_is_read_is_read_again(text: str) -> None:
    listed = admission.read(text)
    again = admission.read("\n".join(listed.entries))
    assert again.entries == listed.entries
    assert not again.bad
