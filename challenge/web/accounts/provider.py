"""Sign-in through an OpenID Connect provider: what allauth is told, and its three requests.

allauth keeps the state of a sign-in, exchanges the code and creates or finds the account. What a
token must be is checked by :mod:`challenge.services.accounts.openid`: allauth checks neither its
signature nor a nonce in this flow (decision 480).
"""

from __future__ import annotations

import logging
import secrets
from typing import Any, cast

from allauth.account.internal.flows.reauthentication import raise_if_reauthentication_required
from allauth.account.models import EmailAddress
from allauth.core import ratelimit
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter, get_adapter
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.base import AuthError, AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from requests import RequestException

from challenge.services.accounts import openid
from challenge.web.accounts import limits

log = logging.getLogger(__name__)

RETRY_AFTER_S = 60
FAILURES = {
    "cancelled": (
        401,
        _("You cancelled the sign-in"),
        _("%(provider)s did not sign you in, as you chose. Nothing was changed here."),
    ),
    "state": (
        401,
        _("This sign-in is over"),
        _(
            "It was begun in another browser, was used already, or took more than ten minutes. "
            "Begin again from here."
        ),
    ),
    "away": (
        503,
        _("%(provider)s does not answer"),
        _(
            "Sign in with your e-mail address and your password, or try again in a minute. "
            "The rest of the site works."
        ),
    ),
    "invalid": (
        502,
        _("The answer of %(provider)s was not accepted"),
        _(
            "It does not prove who you are, so nobody was signed in. Try again; if it stays so, "
            "write to who runs this site. Signing in with your password works."
        ),
    ),
}


class Provider(OpenIDConnectProvider):  # type: ignore[misc]  # allauth has no types
    """The one provider, from the settings."""

    uses_apps = True

    def get_pkce_params(self) -> dict[str, Any]:
        self.app.settings["oauth_pkce_enabled"] = True
        return dict(super().get_pkce_params())

    def get_oauth2_adapter(self, request: HttpRequest) -> FlowAdapter:
        return FlowAdapter(request, self.app.provider_id)

    def redirect(self, request: HttpRequest, process: str, next_url: str | None = None) -> Any:
        """Begin a sign-in; nothing of the request but ``next`` and the process goes along."""
        nonce = secrets.token_urlsafe(32)
        return super().redirect(
            request, process, next_url=next_url, auth_params={"nonce": nonce}, nonce=nonce
        )

    def extract_uid(self, data: dict[str, Any]) -> str:
        return openid.identifier(data["iss"], data["sub"])

    def extract_extra_data(self, data: dict[str, Any]) -> dict[str, Any]:
        """Keep of a person at the provider who it is, and nothing else."""
        return {name: str(data[name]) for name in ("iss", "sub")}

    def extract_common_fields(self, data: dict[str, Any]) -> dict[str, Any]:
        """Suggest a name and an address; both are checked like any that is typed."""
        email, name = data.get("email"), data.get("preferred_username")
        return {
            "email": email if isinstance(email, str) else None,
            "username": name.partition("@")[0] if isinstance(name, str) else None,
        }

    def extract_email_addresses(self, data: dict[str, Any]) -> list[EmailAddress]:
        return []


class FlowAdapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    """The requests of one sign-in to the provider."""

    nonce = ""

    @property
    def described(self) -> openid.Description:
        if not hasattr(self, "_described"):
            try:
                self._described = openid.describe(settings.OIDC_ISSUER)
            except openid.ProviderInvalid as error:
                raise OAuth2Error(str(error)) from error
        return self._described

    @property
    def openid_config(self) -> dict[str, Any]:
        return self.described.values

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        return openid.callback_url()

    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any
    ) -> SocialLogin:
        try:
            claims = openid.verify(
                str(kwargs["response"].get("id_token") or ""),
                signed_by=openid.keys(self.described),
                issuer=self.described.issuer,
                client_id=app.client_id,
                nonce=self.nonce,
            )
        except openid.ProviderInvalid as error:
            raise OAuth2Error(str(error)) from error
        if "email" not in claims and self.described.address("userinfo_endpoint"):
            claims = self._user_information(token.token, claims) | claims
        return self.get_provider().sociallogin_from_response(request, claims)

    def _user_information(self, access_token: str, claims: dict[str, Any]) -> dict[str, Any]:
        found = self._fetch_user_info(access_token)
        if not isinstance(found, dict) or found.get("sub") != claims["sub"]:
            raise OAuth2Error("its user information is of another person (sub)")
        return found


class CallbackView(OAuth2CallbackView):  # type: ignore[misc]
    """allauth's, which gives the nonce of the sign-in to who checks the token."""

    def _get_state(self, request: HttpRequest, provider: Provider) -> tuple[Any, Any]:
        state, response = super()._get_state(request, provider)
        self.adapter.nonce = (state or {}).get("nonce", "")
        return state, response


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """The provider of the settings, if there is one, and how accounts come from it."""

    def list_apps(
        self, request: HttpRequest, provider: str | None = None, client_id: str | None = None
    ) -> list[SocialApp]:
        if not settings.OIDC_ISSUER:
            return []
        return [
            SocialApp(
                provider="openid_connect",
                name=settings.OIDC_NAME,
                client_id=settings.OIDC_CLIENT_ID,
                secret=settings.OIDC_CLIENT_SECRET,
                settings={},
            )
        ]

    def list_providers(self, request: HttpRequest) -> list[Provider]:
        return [Provider(request, app=app) for app in self.list_apps(request)]

    def get_provider(
        self, request: HttpRequest, provider: str, client_id: str | None = None
    ) -> Provider:
        for found in self.list_providers(request):
            return found
        raise SocialApp.DoesNotExist

    def get_requests_session(self) -> openid.Session:
        return openid.Session()

    def is_auto_signup_allowed(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Have everybody choose a username and a password, by the rules of the sign-up page."""
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Forget the provider's tokens: nothing is asked of it once the person is known."""
        sociallogin.token = None
        # Only what the person confirms by our mail is an address of theirs.
        sociallogin.email_addresses = []

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Provider,
        error: str | None = None,
        exception: Exception | None = None,
        extra_context: dict[str, Any] | None = None,
    ) -> None:
        """Answer each failure in the site's own words; the reason goes to the log."""
        raise ImmediateHttpResponse(_failure_page(request, _kind(error, exception, extra_context)))


@require_POST
@never_cache
def begin(request: HttpRequest) -> HttpResponse:
    """Begin a sign-in, or the connection of the account that is signed in.

    The answer is a page that leads on: the Content-Security-Policy lets no form of this site be
    redirected to another one.
    """
    if not ratelimit.consume(request, action="login"):
        return limits.too_many(request)
    process = request.POST.get("process", AuthProcess.LOGIN)
    if process == AuthProcess.CONNECT:
        return _connect(request)
    return _lead_on(request, AuthProcess.LOGIN)


def _connect(request: HttpRequest) -> HttpResponse:
    if not request.user.is_authenticated:
        return redirect("account_login")
    raise_if_reauthentication_required(request, app="allauth.socialaccount")
    return _lead_on(request, AuthProcess.CONNECT)


def _lead_on(request: HttpRequest, process: str) -> HttpResponse:
    provider = _provider(request)
    next_url = provider.get_redirect_from_request_kwargs(request).get("next_url")
    try:
        response = provider.redirect(request, process, next_url=next_url)
    except (openid.ProviderAway, RequestException, OAuth2Error) as error:
        return _failure_page(request, _kind(None, error, None))
    context = {"provider": provider, "address": response.url}
    return render(request, "web/provider_redirect.html", context)


@require_GET
@never_cache
def callback(request: HttpRequest) -> HttpResponse:
    """End a sign-in that the provider sends back."""
    provider = _provider(request)
    # RFC 9207: the answer of another provider, where it says whose it is.
    if request.GET.get("iss", settings.OIDC_ISSUER) != settings.OIDC_ISSUER:
        return _failure_page(request, "invalid")
    view = CallbackView.adapter_view(provider.get_oauth2_adapter(request))
    try:
        return cast(HttpResponse, view(request))
    except (openid.ProviderAway, OAuth2Error) as error:  # before the code is exchanged
        return _failure_page(request, _kind(None, error, None))


def _provider(request: HttpRequest) -> Provider:
    try:
        return cast(Provider, get_adapter(request).get_provider(request, "openid_connect"))
    except SocialApp.DoesNotExist as error:
        raise Http404 from error


def _kind(error: str | None, exception: Exception | None, context: dict[str, Any] | None) -> str:
    if error == AuthError.CANCELLED:
        return "cancelled"
    if isinstance(exception, (openid.ProviderAway, RequestException)):
        log.warning("the OpenID Connect provider does not answer: %s", exception)
        return "away"
    if exception is None and "state_id" in (context or {}):
        return "state"
    log.warning("a sign-in by OpenID Connect was refused: %s", exception or "an error came back")
    return "invalid"


def _failure_page(request: HttpRequest, kind: str) -> HttpResponse:
    status, heading, sentence = FAILURES[kind]
    name = {"provider": settings.OIDC_NAME}
    response = render(
        request,
        "web/provider_failure.html",
        {"heading": heading % name, "sentence": sentence % name},
        status=status,
    )
    if kind == "away":
        response["Retry-After"] = str(RETRY_AFTER_S)
    return response
