"""Names that look alike have one key; names that claim a role are reserved."""

from __future__ import annotations

import unicodedata

import pytest

from challenge.rules import names

ALIKE = [
    ("Larch", "LARCH"),
    ("Larch", "lаrch"),  # Cyrillic а
    ("Larch", "Ｌａｒｃｈ"),
    ("Larch", "𝐋𝐚𝐫𝐜𝐡"),
    ("Larch", "La\ufe0frch"),
    ("HELLO", "НЕLLО"),  # Cyrillic capitals whose small letters look otherwise
    ("Paul", "PauI"),
    ("Iris", "iris"),
    ("Iris", "lris"),
    ("Team 1", "Team l"),
    ("Team 10", "Team 1O"),
    ("modern", "modem"),
    ("ΑΒΓ", "ABΓ"),
    ("équipe", "e\u0301quipe"),
    ("Bob-2", "Bob‐2"),
    ("straße", "STRASSE"),
]
APART = [
    ("Larch", "Birch"), ("Team 1", "Team 2"), ("Team 1", "Team 11"), ("équipe", "equipe"),
    ("Москва", "Mосква 2"), ("日本チーム", "日本ラーム"), ("Alpha", "Alphа Beta"),
]  # fmt: skip
RESERVED = [
    "admin", "ADMIN", "Administrateur", "аdmіn", "ａｄｍｉｎ", "𝐚𝐝𝐦𝐢𝐧", "Admın", "ad min",
    "a.d.m.i.n", "admin_2", "The organisers", "Organizers", "Les organisateurs", "Modérateur",
    "moderateur", "Mоderator", "FLAIR staff", "Former team 12", "former  tеam 3", "formerteam",
    "Former teams",
    "Ancienne équipe 7", "ancienne equipe", "IGN", "1GN", "flair", "FLAlR", "Official", "Officiel",
    "root", "Support", "Jury", "Équipe",
]  # fmt: skip
FREE = [
    "Larch", "Staffordshire", "Team 1", "FLAIR fans", "IGN Saint-Mandé", "Les Géographes", "山田",
    "Support vector machines", "Badminton", "organist", "A former champion", "équipe 3", "José",
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_names_that_look_alike_have_one_key(one: str, other: str) -> None:
    assert names.look_alike_key(one) == names.look_alike_key(other)


@pytest.mark.parametrize(("one", "other"), APART)
def test_other_names_have_other_keys(one: str, other: str) -> None:
    assert names.look_alike_key(one) != names.look_alike_key(other)


def test_every_character_has_a_short_key() -> None:
    for point in range(0x20, 0x30000):
        if unicodedata.category(chr(point)) not in {"Cs", "Cn", "Co"}:
            assert len(names.look_alike_key(chr(point))) <= 40, hex(point)


@pytest.mark.parametrize("name", RESERVED)
def test_a_name_that_claims_a_role_is_reserved(name: str) -> None:
    assert names.is_reserved(name)


@pytest.mark.parametrize("name", FREE)
def test_ordinary_names_are_free(name: str) -> None:
    assert not names.is_reserved(name)
    assert names.is_visible(names.cleaned(name))


@pytest.mark.parametrize(
    "hidden",
    ["\u200b", "\u200d", "\u2060", "\ufeff", "\u202e", "\u034f", "\u115f", "\u3164", "\u2800",
     "\u00ad", "\U000e0041", "\u0301\u0302\u0303\u0304\u0305", "\x07"],
)  # fmt: skip
def test_what_cannot_be_seen_is_refused(hidden: str) -> None:
    assert not names.is_visible(names.cleaned(f"La{hidden}rch"))


def test_variation_selectors_are_left_out() -> None:
    assert names.cleaned("Larch\ufe0f\ufe0e\U000e0100\u180b") == "Larch"
