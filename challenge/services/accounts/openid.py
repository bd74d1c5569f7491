"""OpenID Connect: the provider's published description, its keys, and the tokens it signs.

What an ID token must be is OpenID Connect Core 1.0, section 3.1.3.7.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import jwt
import requests
from django.conf import settings

from challenge.services import links

CONNECT_S = 5.0
# At once in a process: a provider that hangs must leave threads to everybody else.
REQUESTS = 4
_free = threading.BoundedSemaphore(REQUESTS)
# Between the provider's clock and ours; docs/operating.md has both take the time from a server.
LEEWAY_S = 30
# Signatures that only the provider can make; none with the client's secret, never "none".
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class ProviderAway(Exception):
    """The provider does not answer, or answers with an error of its own."""


class ProviderInvalid(Exception):
    """The provider answers something that must not be believed; the text is for the log."""


@dataclass(frozen=True)
class Description:
    """What a provider publishes of itself."""

    issuer: str
    values: dict[str, Any]

    def address(self, name: str) -> str:
        """Return an address by its name in the document; "" where it is not there."""
        return str(self.values.get(name) or "")


class Session(requests.Session):
    """Requests to a provider: a few at once, that end in time and follow no redirect elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = 0

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        verify = str(settings.OIDC_CA) if settings.OIDC_CA else True
        if not _free.acquire(blocking=False):
            raise requests.ConnectionError(f"{REQUESTS} requests wait for the provider already")
        try:
            return super().request(*args, **{"timeout": CONNECT_S, "verify": verify} | kwargs)
        finally:
            _free.release()


def is_secure(address: str) -> bool:
    """Say whether an address is https, or of this very machine."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def describe(issuer: str) -> Description:
    """Read what the provider publishes. Raises ``ProviderAway``, ``ProviderInvalid``."""
    values = _read(description_of(issuer))
    found = values.get("issuer")
    if found != issuer:
        raise ProviderInvalid(f"its issuer is {found!r} and OIDC_ISSUER is {issuer!r}")
    optional = [name for name in ("userinfo_endpoint",) if values.get(name)]
    for name in (*ENDPOINTS, *optional):
        if not is_secure(str(values.get(name) or "")):
            raise ProviderInvalid(f"its {name} is {values.get(name)!r}: https is needed")
    methods = values.get("code_challenge_methods_supported")
    if methods is not None and "S256" not in methods:
        raise ProviderInvalid("it does not offer PKCE with S256")
    return Description(issuer=issuer, values=values)


def clock_ahead_s(issuer: str) -> float | None:
    """Return how far this host's clock is ahead of the provider's, to about a second.

    None where it does not say what time it is. Raises ``ProviderAway``.
    """
    try:
        with Session() as session:
            date = session.get(description_of(issuer)).headers.get("Date")
    except requests.RequestException as error:
        raise ProviderAway(str(error)) from error
    return None if date is None else time.time() - parsedate_to_datetime(date).timestamp()


def keys(description: Description) -> list[jwt.PyJWK]:
    """Read the provider's keys for signatures. Raises ``ProviderAway``, ``ProviderInvalid``.

    They are read for each sign-in: a key that was withdrawn counts no more.
    """
    document = _read(description.address("jwks_uri"))
    try:
        found = jwt.PyJWKSet.from_dict(document).keys
    except (jwt.PyJWTError, AttributeError, TypeError) as error:
        raise ProviderInvalid(f"its keys cannot be read: {error}") from error
    return [key for key in found if key.public_key_use in (None, "sig")]


def verify(
    token: str, *, signed_by: list[jwt.PyJWK], issuer: str, client_id: str, nonce: str
) -> dict[str, Any]:
    """Return the claims of an ID token. Raises ``ProviderInvalid`` unless all of it holds.

    Signature, issuer, audience, times, and the nonce of the sign-in that asked for it.
    """
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(
            token,
            key=_key_of(header, signed_by),
            algorithms=list(ALGORITHMS),
            issuer=issuer,
            audience=client_id,
            leeway=LEEWAY_S,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
    except jwt.PyJWTError as error:
        raise ProviderInvalid(f"its ID token is not accepted: {error}") from error
    # A token for several clients must have been asked for by this one.
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", None if several else client_id) != client_id:
        raise ProviderInvalid("its ID token is for another client (azp)")
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()) or not nonce:
        raise ProviderInvalid("its ID token is not of this sign-in (nonce)")
    if not claims["sub"]:
        raise ProviderInvalid("its ID token names nobody (sub)")
    return dict(claims)


def callback_url() -> str:
    """Return the address that the provider sends people back to, as it has to be registered."""
    return links.absolute("/accounts/oidc/callback/")


def identifier(issuer: str, subject: str) -> str:
    """Return the key of a person at a provider: the same subject of another issuer is not it."""
    return hashlib.sha256(json.dumps([issuer, subject]).encode()).hexdigest()


def description_of(issuer: str) -> str:
    """Return the address of what an issuer publishes."""
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def _key_of(header: dict[str, Any], found: list[jwt.PyJWK]) -> jwt.PyJWK:
    wanted = header.get("kid")
    fitting = [
        key
        for key in found
        if (wanted is None or key.key_id == wanted) and key.algorithm_name == header.get("alg")
    ]
    if len(fitting) != 1:
        raise jwt.InvalidKeyError(f"{len(fitting)} of its keys fit kid {wanted!r}")
    return fitting[0]


def _read(address: str) -> dict[str, Any]:
    try:
        with Session() as session:
            answer = session.get(address)
            answer.raise_for_status()
            document = answer.json()
    except requests.RequestException as error:
        raise ProviderAway(f"{address}: {error}") from error
    if not isinstance(document, dict):
        raise ProviderInvalid(f"{address} answers no JSON object")
    return document
