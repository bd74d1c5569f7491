"""The names under which people are shown: visible, not reserved, like nobody else's."""

from __future__ import annotations

from challenge.errors import refuse
from challenge.models import User
from challenge.rules import names


def check(username: str, *, user: User | None = None) -> str:
    """Return a new username as it is kept (NFKC); ``user`` is who has another one until now.

    Raises Refusal ``name-invisible`` or ``name-reserved``, Conflict ``username-alike``.
    """
    cleaned = names.cleaned(username)
    if not names.is_visible(cleaned):
        raise refuse("name-invisible")
    if names.is_reserved(cleaned):
        raise refuse("name-reserved", name=cleaned)
    others = User.objects.exclude(pk=user.pk) if user else User.objects.all()
    if others.filter(name_key=names.look_alike_key(cleaned)).exists():
        raise refuse("username-alike", name=cleaned)
    return cleaned
