"""Which addresses reach one mailbox. Pure.

Conservative: only what is true of every provider we know (upper and lower case, ``+tag``), and dots
for the one provider that documents that it ignores them. Addresses of a domain that delivers all of
them to one person cannot be told from those of many people.
"""

from __future__ import annotations

import unicodedata

# domain → the domain of the same mailboxes
_SAME_DOMAIN = {"googlemail.com": "gmail.com"}
_DOTS_IGNORED = frozenset({"gmail.com"})


def normalise(address: str) -> str:
    """Return one address for all that reach the same mailbox.

    >>> normalise("Ada.Lovelace+flair@GoogleMail.com")
    'adalovelace@gmail.com'
    >>> normalise("ada.lovelace+1@example.org")
    'ada.lovelace@example.org'
    """
    name, _, domain = unicodedata.normalize("NFKC", address).strip().lower().rpartition("@")
    domain = _ascii(domain.rstrip("."))
    domain = _SAME_DOMAIN.get(domain, domain)
    name = name.partition("+")[0] or name
    if domain in _DOTS_IGNORED:
        name = name.replace(".", "") or name
    return f"{name}@{domain}"


def _ascii(domain: str) -> str:
    """Return a domain as DNS spells it; unchanged where it has no such spelling."""
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return domain
