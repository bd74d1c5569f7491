"""Variants of one address are one mailbox, and nothing else is."""

from __future__ import annotations

import pytest

from challenge.rules.mailboxes import normalise


@pytest.mark.parametrize(
    ("address", "same_as"),
    [
        ("Ada@Example.org", "ada@example.org"),
        ("ada+1@example.org", "ada@example.org"),
        ("ada+a+b@example.org", "ada@example.org"),
        ("ada@example.org.", "ada@example.org"),
        ("\uff41da@example.org", "ada@example.org"),  # full-width a
        ("a.d.a@gmail.com", "ada@gmail.com"),
        ("a.da+x@GOOGLEMAIL.com", "ada@gmail.com"),
        ("ada@m\u00fcnchen.example", "ada@xn--mnchen-3ya.example"),
    ],
)
def test_variants_are_one_mailbox(address: str, same_as: str) -> None:
    assert normalise(address) == normalise(same_as) == same_as


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada@example.org", "ada@example.com"),
        ("a.da@example.org", "ada@example.org"),  # dots count everywhere but at one provider
        ("ada-1@example.org", "ada@example.org"),
        ("ada@mail.example.org", "ada@example.org"),
        ("+1@example.org", "+2@example.org"),
    ],
)
def test_others_are_not(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@pytest.mark.parametrize("odd", ["", "ada", "@", "ada@", "ada@" + "x" * 80 + ".org", "ada@.."])
def test_what_is_no_address_is_no_error(odd: str) -> None:
    assert isinstance(normalise(odd), str)
