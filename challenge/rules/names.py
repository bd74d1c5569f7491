"""Names that people give themselves: how they are kept, which look alike, which are reserved. Pure.

Two names look alike if their skeletons are equal (Unicode Technical Standard 39, section 4), with
the table of confusable characters that comes with the package confusable-homoglyphs.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

# Letters and signs that show nothing and are no format characters (category Cf) either.
BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
VARIATION_SELECTORS = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
MARKS_IN_A_ROW = 3
HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# A name with one of these words claims to speak for those who run a challenge or the site.
_ROLE_WORDS = """
admin admins administrator administrators administrateur administrateurs administratrice
administratrices organiser organisers organizer organizers organisateur organisateurs
organisatrice organisatrices moderator moderators moderateur moderateurs moderatrice moderatrices
staff sysadmin webmaster
"""
ROLE_WORDS = frozenset(_ROLE_WORDS.split())
# Reserved where they are the whole name: they are part of ordinary names as well.
_WHOLE_NAMES = """
flair ign root system systeme support help aide jury official officiel officielle platform
plateforme host moderation administration organisation organization anonymous anonyme nobody
personne deleted team equipe
"""
WHOLE_NAMES = frozenset(_WHOLE_NAMES.split())
# What the site calls teams whose people have deleted their accounts, in both languages.
FORMER_TEAM = frozenset({"former team", "ancienne équipe"})
_WORD = re.compile(r"[^\W_]+")


def cleaned(name: str) -> str:
    """Return a name in compatibility form (NFKC), single spaces, no variation selectors.

    >>> cleaned(" Ｌａｒｃｈ\\ufe0f   2 ")
    'Larch 2'
    """
    plain = VARIATION_SELECTORS.sub("", name)
    return " ".join(unicodedata.normalize("NFKC", plain).split())


def is_visible(name: str) -> bool:
    """Say whether every character of a cleaned name can be seen, and one is a letter or a digit.

    >>> is_visible("La\\u200brch")
    False
    """
    marks = 0
    for character in name:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        is_hidden = category in HIDDEN_CATEGORIES or character in BLANKS
        if is_hidden or marks > MARKS_IN_A_ROW:
            return False
    return any(map(str.isalnum, name))


def look_alike_key(name: str) -> str:
    """Return what is equal for two names that look alike, whatever their case.

    >>> look_alike_key("Pаypаl") == look_alike_key("PayPal")  # the first has Cyrillic letters
    True
    >>> look_alike_key("Larch") == look_alike_key("Birch")
    False
    """
    key = _skeleton(cleaned(name))
    # Folding the case makes new look-alikes: I looks like l, and its small letter like neither.
    return _skeleton(key.casefold()).replace("i", "l")


def is_reserved(name: str) -> bool:
    """Say whether a name claims a role on the site, in English or French, or looks as if it did.

    >>> is_reserved("The Οrganisers")  # with a Greek letter
    True
    >>> is_reserved("Staffordshire")
    False
    """
    words = _WORD.findall(_bare_key(name))
    together = "".join(words)
    return (
        any(word in _bare_keys(ROLE_WORDS) for word in words)
        or together in _bare_keys(WHOLE_NAMES | ROLE_WORDS)
        or together.startswith(tuple(_bare_keys(FORMER_TEAM)))
    )


def _bare_key(name: str) -> str:
    """The key without accents, which a screen may hardly show."""
    return "".join(c for c in look_alike_key(name) if not unicodedata.combining(c))


@cache
def _bare_keys(texts: frozenset[str]) -> frozenset[str]:
    return frozenset(_bare_key(text).replace(" ", "") for text in texts)


def _skeleton(text: str) -> str:
    """Replace each character by the one that stands for its look-alikes.

    Three times, since a prototype of several characters may hold others; the number is fixed so
    that no table can make it endless.
    """
    prototypes = _prototypes()
    for _round in range(3):
        decomposed = unicodedata.normalize("NFD", text)
        text = "".join(prototypes.get(character, character) for character in decomposed)
    return text


@cache
def _prototypes() -> dict[str, str]:
    """Map each confusable character to the prototype of its class."""
    # Here and not above: a tenth of a second that most processes can do without.
    from confusable_homoglyphs import confusables

    parents: dict[str, str] = {}

    def root(text: str) -> str:
        while parents.setdefault(text, text) != text:
            text = parents[text]
        return text

    for character, alike in confusables.confusables_data.items():
        for other in alike:
            parents[root(_unmarked(character))] = root(_unmarked(other["c"]))
    classes: dict[str, list[str]] = {}
    for text in parents:
        classes.setdefault(root(text), []).append(text)
    return {
        text: prototype
        for texts in classes.values()
        for prototype in [min(texts, key=_prototype_order)]
        for text in texts
        if len(text) == 1
    }


def _prototype_order(text: str) -> tuple[bool, bool, bool, bool, str]:
    """Sequences first (m looks like rn), then letters of ASCII, small ones before."""
    return (len(text) == 1, not text.isascii(), not text.islower(), not text.isalpha(), text)


def _unmarked(text: str) -> str:
    """The table writes characters of right-to-left scripts between direction marks."""
    return text.strip("\u200e\u200f")
