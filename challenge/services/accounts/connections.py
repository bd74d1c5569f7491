"""Connections of accounts to an OpenID Connect provider."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
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


def drop_unconfirmed(*, user: User, **_signal: Any) -> None:
    """End connections that were made before anybody confirmed the account's address.

    Whoever resets the password has the mailbox; whoever signed up with its address may not.
    """
    if not EmailAddress.objects.filter(user=user, verified=True).exists():
        SocialAccount.objects.filter(user=user).delete()
