"""Connections of accounts to an OpenID Connect provider."""

from __future__ import annotations

from typing import Any

from allauth.socialaccount.models import SocialAccount

from challenge.models import User


def of_user(user: User) -> list[dict[str, Any]]:
    """Return a person's connections as their data's export shows them."""
    return [
        {
            "issuer": found.extra_data.get("iss", ""),
            "subject": found.extra_data.get("sub", ""),
            "connected_at": found.date_joined.isoformat(),
            "last_sign_in_at": found.last_login.isoformat(),
        }
        for found in SocialAccount.objects.filter(user=user).order_by("pk")
    ]


def drop_all(*, user: User, **_signal: Any) -> None:
    """End a person's connections: who resets a password has the mailbox, and nobody else stays in.

    Whoever connected a provider with a password that they should not have had would keep a way in.
    """
    SocialAccount.objects.filter(user=user).delete()
