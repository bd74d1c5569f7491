"""Who may call an operation: everyone, or a person with a scope. Counts requests on the way."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from ninja.security import HttpBearer

from challenge.models import User
from challenge.services import throttles
from challenge.services.accounts import identities
from challenge.services.accounts.identities import Identity


class SignedInRequest(HttpRequest):
    """The request of an operation that is not for anyone."""

    user: User
    auth: Identity


DESCRIPTION = (
    "A personal token, made on the account page (`flair_…`), with the scope that the operation "
    "names. A browser's session with its CSRF token in `X-CSRFToken` does as well."
)


class Scoped(HttpBearer):
    """A person who is logged in, whose token has ``scope``."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__()
        self.openapi_security_schema["description"] = DESCRIPTION

    def __call__(self, request: HttpRequest) -> Identity:
        throttles.check(request, kind="api")
        identity = identities.identify(request, scope=self.scope)
        request.user = identity.user
        return identity

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        """Not used: ``__call__`` reads tokens and cookies alike."""
        raise NotImplementedError


class Anyone(Scoped):
    """Readers too; a token, where there is one, must be valid.

    Without the scope to read it sees what readers see: not its person's teams, not what they
    organise.
    """

    def __init__(self) -> None:
        super().__init__("read")

    def __call__(self, request: HttpRequest) -> Identity | bool:  # type: ignore[override]
        throttles.check(request, kind="api")
        identity = identities.find(request)
        if identity is None or self.scope not in identity.scopes:
            request.user = AnonymousUser()
            return True
        request.user = identity.user
        return identity


ANYONE = Anyone()
READ = Scoped("read")
SUBMIT = Scoped("submit")
ORGANISE = Scoped("organise")
