"""Authentication of requests: a bearer token with its scopes, or a session with its CSRF token.

Used by the API and the resumable uploads alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware

from challenge.errors import refuse
from challenge.models import ApiToken, User
from challenge.services import throttles
from challenge.services.accounts import tokens

ALL_SCOPES = frozenset(ApiToken.Scope.values)


@dataclass(frozen=True)
class Identity:
    """An authenticated person, and the scopes of the token or session."""

    user: User
    scopes: frozenset[str]
    token: ApiToken | None = None


def find(request: HttpRequest, *, kind: str = "api") -> Identity | None:
    """The identity behind a request, or None for an anonymous reader.

    Raises ``Refusal`` (401) for a token that is not valid, ``NotAllowed`` for a cookie without
    its CSRF token in a request that changes something.
    """
    authorization = request.headers.get("Authorization", "")
    if authorization:
        return _from_token(request, authorization, kind=kind)
    if request.user.is_authenticated:
        _check_csrf(request)
        return Identity(user=request.user, scopes=ALL_SCOPES)
    return None


def identify(request: HttpRequest, *, scope: str, kind: str = "api") -> Identity:
    """The identity, which must have ``scope``. Raises ``Refusal`` (401), ``NotAllowed`` (403).

    ``kind`` names the limit of requests that applies: "api" or "upload".
    """
    identity = find(request, kind=kind)
    if identity is None:
        raise refuse("not-authenticated")
    if scope not in identity.scopes:
        raise refuse("token-scope-missing", scope=scope)
    return identity


def _from_token(request: HttpRequest, authorization: str, *, kind: str) -> Identity:
    scheme, _space, plain = authorization.partition(" ")
    token = tokens.authenticate(plain.strip()) if scheme.lower() == "bearer" else None
    if token is None:
        throttles.check_failed_login(request)
        raise refuse("token-invalid")
    throttles.check_token(token.pk, kind=kind)
    request.user = token.user
    # What the person's roles allow, the token may not: selectors.roles asks for its scopes.
    token.user.request_facts.scopes = frozenset(token.scopes)
    return Identity(user=token.user, scopes=frozenset(token.scopes), token=token)


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        raise refuse("csrf-failed")


def _check_csrf(request: HttpRequest) -> None:
    if request.method in {"GET", "HEAD", "OPTIONS", "TRACE"}:
        return
    check = _CsrfCheck(lambda _request: HttpResponse())
    if not request.headers.get("X-CSRFToken"):
        # Without the header Django would look for the token in a form, and so read the body.
        check._reject(request, "missing")
    check.process_request(request)
    check.process_view(request, lambda _request: HttpResponse(), (), {})
