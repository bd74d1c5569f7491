"""Personal access tokens: shown once, stored as a prefix and a hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import ApiToken, User

SCHEME = "flair"
NAME_CHARACTERS = 80
TOKENS_PER_PERSON = 20
LAST_USED_INTERVAL = timedelta(minutes=1)


def create(
    *,
    user: User,
    name: str,
    scopes: Collection[str],
    expires_at: datetime | None = None,
    now: datetime | None = None,
) -> tuple[ApiToken, str]:
    """Create a token; return its row and the plain text ``flair_<prefix>_<secret>``, shown once.

    Raises Refusal ``token-name-missing``, ``token-scopes-invalid``, ``token-expiry-past``,
    Conflict ``token-limit``.
    """
    now = now or timezone.now()
    name = name.strip()
    if not name or len(name) > NAME_CHARACTERS:
        raise refuse("token-name-missing", limit=NAME_CHARACTERS)
    allowed = list(ApiToken.Scope.values)
    unknown = sorted(set(scopes) - set(allowed))
    if unknown or not scopes:
        raise refuse(
            "token-scopes-invalid", unknown=", ".join(unknown) or "–", allowed=", ".join(allowed)
        )
    if expires_at is not None and expires_at <= now:
        raise refuse("token-expiry-past")
    if _valid(user, now=now).count() >= TOKENS_PER_PERSON:
        raise refuse("token-limit", limit=TOKENS_PER_PERSON)
    prefix = secrets.token_hex(6)
    plain = f"{SCHEME}_{prefix}_{secrets.token_urlsafe(32)}"
    token = ApiToken.objects.create(
        user=user,
        name=name,
        prefix=prefix,
        digest=_digest(plain),
        scopes=[scope for scope in allowed if scope in scopes],
        expires_at=expires_at,
    )
    return token, plain


def authenticate(plain: str, *, now: datetime | None = None) -> ApiToken | None:
    """Return the valid token of a plain text with its user, or None (one query).

    ``last_used_at`` is updated once a minute at most (a second query).
    """
    now = now or timezone.now()
    scheme, _, rest = plain.partition("_")
    prefix = rest.partition("_")[0]
    if scheme != SCHEME or not prefix or len(plain) > 200:
        return None
    token = ApiToken.objects.select_related("user").filter(prefix=prefix).first()
    if token is None or not hmac.compare_digest(token.digest, _digest(plain)):
        return None
    expired = token.expires_at is not None and token.expires_at <= now
    if expired or token.revoked_at is not None or not token.user.is_active:
        return None
    if token.last_used_at is None or now - token.last_used_at >= LAST_USED_INTERVAL:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
        token.last_used_at = now
    return token


def revoke(*, token: ApiToken, actor: User, now: datetime | None = None) -> None:
    """End a token of one's own. Raises NotFound for another person's."""
    if token.user_id != actor.pk:
        raise refuse("not-found")
    ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(
        revoked_at=now or timezone.now()
    )


def _valid(user: User, *, now: datetime) -> QuerySet[ApiToken]:
    unexpired = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    return ApiToken.objects.filter(unexpired, user=user, revoked_at__isnull=True)


def _digest(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()
