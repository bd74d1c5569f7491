"""What the reader of challenge files finds, in the language of the page that shows it.

The reader (:mod:`challenge.services.challenges.challenge_file`) and the score engine's
specification, which it calls, know no Django and write English, for terminals. Here are their
sentences with names in place of what varies; a test compares them with the code.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django.utils.translation import gettext


def _(text: str) -> str:
    """Mark a text for translation."""
    return text


SENTENCES = (
    _("%(file)s: no column 'patch' (columns found: %(found)s)"),
    _("%(file)s cannot be read: %(why)s"),
    _("%(first)s to %(last)s is more than a million patches"),
    _("the table [task] is missing"),
    _("give either ids_csv or id_ranges, not both"),
    _("%(found)s is not of the form 'flair-1'"),
    _("no class is scored; set scored = true on at least one"),
    _("%(found)s must contain {id} once"),
    _("%(found)s classes found; allowed are %(low)s to %(high)s"),
    _("two classes have the same key"),
    _("is not a table"),
    _("is %(found)s, but its row is number %(number)s from 0"),
    _('needs at least an English name: { en = "…" }'),
    _("%(found)s is not of the form '#db0e9a'"),
    _("%(found)s must list mask values from 0 to 254"),
    _("%(found)s is not a legal patch id"),
    _("patch %(found)s is listed twice"),
    _("patch %(found)s is listed twice; first in line %(line)s"),
    _("patch %(found)s is not one of the task's expected patches"),
    _("patch %(found)s has a domain or a zone alone; give both or neither"),
    _("does not find the id %(found)s in %(name)s (from prediction_name)"),
    _('%(found)s is not a pair of ids such as ["077413", "093462"]'),
    _("label %(found)s already belongs to class %(other)s"),
    _("is missing"),
    _("is %(found)s (%(kind)s), not %(wanted)s"),
    _("there is no folder or zip %(found)s beside %(name)s"),
    _("is empty"),
    _("has no group (?P<id>…)"),
    _("unknown key: %(found)s"),
    _("is not a regular expression: %(why)s"),
    _("is not a known key; Allowed are %(allowed)s"),
    _("is not a known key; did you mean %(near)s? Allowed are %(allowed)s"),
    _("is missing; %(wanted)s is needed"),
    _("is empty; a text is needed"),
    _("has %(found)s characters; allowed are %(allowed)s"),
    _("is %(found)s; write it like %(example)s"),
    _("is %(found)s without an offset; end it with Z for UTC"),
    _("is %(found)s; give each of %(allowed)s once at most"),
    _("is %(found)s; a time zone such as Europe/Paris or UTC is needed"),
    _("is %(found)s; allowed are %(low)s to %(high)s"),
    _("is %(found)s; allowed are %(allowed)s"),
    _("is %(found)s; %(wanted)s is needed"),
    _("is %(found)s; %(wanted)s are needed"),
    _("a number or a text is needed"),
    _("has no text in %(language)s; %(wanted)s is needed"),
    _("has the language %(found)s; allowed are %(allowed)s"),
    _("%(found)s is given twice; it must be given once"),
    _("is %(found)s, the challenge's slug is %(slug)s; make them equal"),
    _("%(file)s lies outside the challenge's folder"),
    _("%(file)s lists no patch"),
    _("is not after opens_at; a phase closes after it opens"),
    _("is %(found)s for label %(label)s, but the task reduces it to %(other)s"),
    _("is %(found)s for label %(label)s, but the task knows no such label"),
    _("is missing, and the task expects no ids either"),
    _("is no scored class; allowed are %(allowed)s"),
    _("links to %(found)s, no page; allowed are %(allowed)s"),
    _("is empty; write the page"),
    _("%(found)s stands for nothing; allowed are %(allowed)s"),
    _("its file %(file)s is missing; write it"),
    _("belongs to no [[pages]] table; list it or remove it"),
    _(
        "is true, and pages that joining needs are missing: %(pages)s; add a table "
        "[[pages]] and its files for each, or leave published out until they are there"
    ),
    _(
        "is true, but %(n)s of its patches belong to phase %(phase)s, whose labels are "
        "hidden (first: %(first)s); its values would teach them. Give it patches whose "
        "labels are published, or leave labels_public out"
    ),
    _("a text"),
    _("a table"),
    _("a list"),
    _("true or false"),
    _("a date-time with its offset, such as 2024-01-01T00:00:00Z,"),
    _("a number from %(low)s to %(high)s"),
    _("a whole number from %(low)s to %(high)s"),
)
# Values that are sentences of their own.
NESTED = frozenset({"wanted"})
_KEY = re.compile(r"([A-Za-z_]\w*(?:\[\d+\]|\.\w+)*): (.+)", re.DOTALL)


def _pattern(sentence: str) -> re.Pattern[str]:
    escaped = re.escape(sentence).replace("%\\(", "%(").replace("\\)s", ")s")
    return re.compile(re.sub(r"%\((\w+)\)s", r"(?P<\1>.+?)", escaped), re.DOTALL)


_PATTERNS = tuple((sentence, _pattern(sentence)) for sentence in SENTENCES)


def words(message: str, *, translate: Callable[[str], str] = gettext) -> str:
    """Return a mistake of the reader in the page's language; one that is not known as it is.

    >>> words("task.id: is missing", translate=lambda text: text.upper())
    'task.id: IS MISSING'
    """
    keyed = _KEY.fullmatch(message)
    if keyed is not None and (said := _sentence(keyed[2], translate)) is not None:
        return gettext("%(key)s: %(mistake)s") % {"key": keyed[1], "mistake": said}
    return _sentence(message, translate) or message


def _sentence(text: str, translate: Callable[[str], str]) -> str | None:
    for sentence, pattern in _PATTERNS:
        if (found := pattern.fullmatch(text)) is not None:
            values = {
                name: (_sentence(value, translate) or value) if name in NESTED else value
                for name, value in found.groupdict().items()
            }
            return translate(sentence) % values
    return None
