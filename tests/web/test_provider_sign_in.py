"""Sign-in through an OpenID Connect provider: two real servers, and a browser between them."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from allauth.account.models import EmailAddress
from allauth.account.signals import password_reset
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import NoReverseMatch, reverse
from playwright.sync_api import Browser, expect

from challenge.models import User
from challenge.services.accounts import accounts, connections, openid
from tests import factories
from tests.live_site import LiveSite
from tests.oidc_server import ProviderProcess, provider_process

__all__ = ["provider_process"]
pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "an old oak 7"
PBKDF2 = PBKDF2PasswordHasher()
DAY_S = 86_400
SIGN_UP = "/accounts/oidc/sign-up/"
BEGIN, CONNECTIONS = "/accounts/oidc/login/", "/accounts/oidc/connections/"
CALLBACK = "/accounts/oidc/callback/"


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    provider_process: ProviderProcess,
    django_db_setup: None,
    django_db_blocker: Any,
) -> Iterator[LiveSite]:
    site = LiveSite(
        tmp_path_factory.mktemp("site"),
        environment={
            **provider_process.settings,
            "LOGIN_RATE_ADDRESS": "100000",
            "SIGNUP_RATE_ADDRESS": "100000",
            "LOG_FORMAT": "json",
        },
    )
    site.environment["EMAIL_URL"] = f"file://{site.folder / 'mails'}"
    with django_db_blocker.unblock():
        site.start()
    yield site
    site.stop()


@pytest.fixture
def provider(provider_process: ProviderProcess, server: LiveSite) -> ProviderProcess:
    """The provider, with nothing wrong and with the site's address registered."""
    if provider_process.process is None:
        provider_process.start()  # a test stopped it
    people = {"ada-1": {"email": "ada@uni.example", "email_verified": True,
                        "preferred_username": "ada@uni.example"}}  # fmt: skip
    provider_process.become(redirect_uri=f"{server.url}{CALLBACK}", people=people)
    return provider_process


class Visitor:
    """A browser without a window: cookies, forms with their CSRF token, no redirect unasked."""

    def __init__(self, server: LiveSite, language: str = "en") -> None:
        self.server = server
        self.client = httpx.Client(base_url=server.url, headers={"Accept-Language": language})

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def post(self, path: str, **fields: Any) -> httpx.Response:
        if "csrftoken" not in self.client.cookies:
            self.client.get("/accounts/login/")
        token = {"csrfmiddlewaretoken": self.client.cookies["csrftoken"]}
        return self.client.post(path, data=token | fields, headers={"Referer": self.server.url})

    def sign_in(self, user: User) -> None:
        """With the password, which counts as given just now."""
        answer = self.post("/accounts/login/", login=user.email, password=PASSWORD)
        assert answer.status_code == 302, answer.text
        answer = self.post("/accounts/reauthenticate/", password=PASSWORD)
        assert answer.status_code == 302, answer.text

    def begin(self, **fields: Any) -> str:
        """Begin a sign-in; returns the provider's address that the page leads to."""
        answer = self.post(BEGIN, **fields)
        assert answer.status_code == 200, answer.text
        found = re.search(r'content="0;url=([^"]+)"', answer.text)
        assert found is not None, answer.text
        return html.unescape(found[1])

    def allow(self, address: str, sub: str = "ada-1") -> str:
        """Sign in at the provider; returns where it sends the browser."""
        answer = httpx.post(address, data={"sub": sub, "act": "allow"})
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]

    def through(self, sub: str = "ada-1", **fields: Any) -> httpx.Response:
        """Go the whole way; returns what the site answers to the provider's redirect."""
        return self.get(self.allow(self.begin(**fields), sub))

    @property
    def is_signed_in(self) -> bool:
        return self.get("/account/").status_code == 200


Arrive = Callable[..., Visitor]


@pytest.fixture
def arrive(server: LiveSite, provider: ProviderProcess) -> Iterator[Arrive]:
    """Make visitors, each with a browser of their own."""
    with ExitStack() as opened:

        def make(language: str = "en") -> Visitor:
            made = Visitor(server, language)
            opened.callback(made.client.close)
            return made

        yield make


@pytest.fixture
def visitor(arrive: Arrive) -> Visitor:
    return arrive()


@pytest.fixture
def ada(db: None) -> User:
    """A person with an account here, whose address the provider knows, too."""
    user = factories.make_user("ada")
    user.email, user.password = "ada@uni.example", PBKDF2.encode(PASSWORD, "salt", iterations=1)
    user.save()
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


@pytest.fixture
def connected(ada: User, visitor: Visitor, server: LiveSite) -> User:
    """The same person, once the account at the provider is connected."""
    visitor.sign_in(ada)
    assert visitor.through(process="connect").headers["Location"] == CONNECTIONS
    visitor.client.cookies.clear()
    return ada


def form_of(answer: httpx.Response) -> dict[str, str]:
    """The values that the fields of a page are filled with, by their names."""
    fields = (
        dict(re.findall(r'(\w+)="([^"]*)"', tag)) for tag in re.findall("<input[^>]*>", answer.text)
    )
    return {field["name"]: field.get("value", "") for field in fields if "name" in field}


def mails_of(server: LiveSite) -> str:
    return "".join(path.read_text() for path in sorted((server.folder / "mails").glob("*")))


def headings(answer: httpx.Response) -> tuple[int, str]:
    found = re.search("<h1[^>]*>(.*?)</h1>", answer.text, re.DOTALL)
    return answer.status_code, html.unescape(found[1]).strip() if found else ""


REFUSED = (502, "The answer of Ouranos was not accepted")


# --- Accounts -------------------------------------------------------------------------------------


def test_a_new_person_chooses_a_name_and_a_password_and_confirms_the_address(
    visitor: Visitor,
    arrive: Arrive,
) -> None:
    assert visitor.through().headers["Location"] == SIGN_UP
    page = visitor.get(SIGN_UP)
    assert (form_of(page)["username"], form_of(page)["email"]) == ("ada", "ada@uni.example")
    assert not User.objects.exists()

    fields = {"email": "ada@uni.example", "password1": PASSWORD, "password2": PASSWORD}
    factories.make_user("grace")
    refused = visitor.post(SIGN_UP, username="gr\N{CYRILLIC SMALL LETTER A}ce", **fields)
    assert (refused.status_code, User.objects.count()) == (200, 1)
    assert "looks like" in refused.text
    weak = visitor.post(SIGN_UP, username="ada", **fields | {"password1": "1", "password2": "1"})
    assert (weak.status_code, User.objects.count()) == (200, 1)
    done = visitor.post(SIGN_UP, username="ada", **fields)

    assert done.headers["Location"] == "/accounts/confirm-email/"
    account = SocialAccount.objects.get(user__username="ada")
    assert set(account.extra_data) == {"iss", "sub"}, "nothing else is kept"
    assert not SocialToken.objects.exists()
    stored = [session.get_decoded() for session in Session.objects.all()]
    assert "token" not in str([key for one in stored for key in one])
    assert "access_token" not in str(stored)
    address = EmailAddress.objects.get(user=account.user)
    assert not address.verified, "what the provider says of an address is not taken for it"
    assert not visitor.is_signed_in
    assert "ada@uni.example" in mails_of(visitor.server)
    EmailAddress.objects.update(verified=True)
    assert arrive().through().headers["Location"] == "/"


def test_an_account_with_the_same_address_is_not_taken_over(visitor: Visitor, ada: User) -> None:
    assert visitor.through().headers["Location"] == SIGN_UP
    assert "connect Ouranos" in " ".join(visitor.get(SIGN_UP).text.split())
    fields = {"email": ada.email, "password1": PASSWORD, "password2": PASSWORD}
    answer = visitor.post(SIGN_UP, username="other", **fields)

    # the same answer as for a free address; its owner is told by mail
    assert answer.headers["Location"] == "/accounts/confirm-email/"
    assert not visitor.is_signed_in
    assert (User.objects.count(), SocialAccount.objects.count()) == (1, 0)


def test_an_account_is_connected_and_disconnected_with_the_password(
    visitor: Visitor, arrive: Arrive, ada: User
) -> None:
    assert "/accounts/login/" in visitor.post(BEGIN, process="connect").headers["Location"]
    visitor.post("/accounts/login/", login=ada.email, password=PASSWORD)
    asked = visitor.post(BEGIN, process="connect")
    assert asked.headers["Location"].startswith("/accounts/reauthenticate/")
    visitor.post("/accounts/reauthenticate/", password=PASSWORD)
    assert visitor.through(process="connect").headers["Location"] == CONNECTIONS
    account = SocialAccount.objects.get(user=ada)
    assert account.extra_data["sub"] in visitor.get(CONNECTIONS).text
    assert "connected" in mails_of(visitor.server).lower()
    assert connections.of_user(ada)[0]["subject"] == "ada-1"
    assert accounts.export(user=ada)["provider_connections"] == connections.of_user(ada)

    other = arrive()
    assert other.through().headers["Location"] == "/"
    assert other.is_signed_in
    refused = other.post(CONNECTIONS, account=str(account.pk))
    assert refused.headers["Location"].startswith("/accounts/reauthenticate/")
    assert SocialAccount.objects.exists(), "signing in by the provider is not the password"
    visitor.post(CONNECTIONS, account=str(account.pk))
    assert not SocialAccount.objects.exists()
    assert arrive().through().headers["Location"] == SIGN_UP


def test_what_is_connected_to_one_account_is_not_connected_to_another(
    visitor: Visitor, connected: User
) -> None:
    thief = factories.make_user("thief")
    thief.password = connected.password
    thief.save()
    EmailAddress.objects.create(user=thief, email=thief.email, verified=True, primary=True)
    visitor.sign_in(thief)
    visitor.through(process="connect")
    assert SocialAccount.objects.get().user == connected


def test_the_second_factor_is_still_asked_for(visitor: Visitor, connected: User) -> None:
    TOTP.activate(connected, generate_totp_secret())
    answer = visitor.through()
    assert answer.headers["Location"] == "/accounts/2fa/authenticate/"
    assert not visitor.is_signed_in


def test_a_disabled_account_is_not_signed_in(visitor: Visitor, connected: User) -> None:
    User.objects.update(is_active=False)
    assert visitor.through().headers["Location"] == "/accounts/inactive/"
    assert not visitor.is_signed_in


def test_a_reset_password_ends_all_connections(connected: User) -> None:
    assert SocialAccount.objects.filter(user=connected).exists()
    password_reset.send(sender=User, request=None, user=connected)
    assert not SocialAccount.objects.exists()


def test_an_account_is_deleted_with_its_connections(connected: User) -> None:
    accounts.delete(user=connected)
    assert not SocialAccount.objects.exists()


# --- The way there and back -----------------------------------------------------------------------


def test_the_request_carries_state_nonce_and_pkce_and_nothing_of_the_visitors(
    visitor: Visitor,
) -> None:
    address = visitor.begin(
        scope="admin", auth_params="redirect_uri=https://evil.example", client_id="evil"
    )
    query = parse_qs(urlsplit(address).query)
    assert len(query["state"][0]) >= 16
    assert len(query["nonce"][0]) >= 32
    assert query["code_challenge_method"] == ["S256"]
    assert query["redirect_uri"] == [f"{visitor.server.url}{CALLBACK}"]
    assert urlsplit(openid.callback_url()).path == CALLBACK
    assert set(query["scope"][0].split()) == {"openid", "profile", "email"}
    assert "evil" not in address
    assert visitor.get(BEGIN).status_code == 405, "a link elsewhere begins nothing"
    assert visitor.client.post(BEGIN).status_code == 403, "nor does a form without its token"


def test_nobody_is_led_to_another_site(arrive: Arrive, connected: User) -> None:
    elsewhere = (
        "https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"
    )  # fmt: skip
    led = {wanted: arrive().through(next=wanted).headers["Location"] for wanted in elsewhere}
    assert led == dict.fromkeys(elsewhere, "/")
    assert arrive().through(next="/help/").headers["Location"] == "/help/"


def test_a_state_serves_once_and_in_its_own_browser_alone(
    visitor: Visitor, arrive: Arrive, connected: User
) -> None:
    back = visitor.allow(visitor.begin())
    stranger = arrive()
    assert headings(stranger.get(back)) == (401, "This sign-in is over")
    assert visitor.get(back).headers["Location"] == "/"
    assert headings(visitor.get(back)) == (401, "This sign-in is over")
    assert headings(stranger.get(f"{CALLBACK}?code=1&state=made-up"))[0] == 401
    assert not stranger.is_signed_in


def test_a_code_of_another_browser_is_refused(
    visitor: Visitor, arrive: Arrive, connected: User
) -> None:
    stolen = parse_qs(urlsplit(visitor.allow(visitor.begin())).query)["code"][0]
    thief = arrive()
    state = parse_qs(urlsplit(thief.begin()).query)["state"][0]
    assert headings(thief.get(f"{CALLBACK}?code={stolen}&state={state}")) == REFUSED
    assert not thief.is_signed_in


def test_who_cancels_is_told_so_in_both_languages(
    visitor: Visitor, arrive: Arrive, provider: Any
) -> None:
    denied = httpx.post(visitor.begin(), data={"sub": "ada-1", "act": "deny"})
    answer = visitor.get(denied.headers["Location"])
    assert headings(answer) == (401, "You cancelled the sign-in")
    french = arrive("fr")
    denied = httpx.post(french.begin(), data={"sub": "ada-1", "act": "deny"})
    answer = french.get(denied.headers["Location"])
    assert headings(answer) == (401, "Vous avez annulé la connexion")


# --- What the provider answers --------------------------------------------------------------------

NOW_S = int(time.time())
LIES: dict[str, dict[str, Any]] = {
    "another audience": {"claims": {"aud": "another-client"}},
    "several audiences": {"claims": {"aud": ["flair", "another-client"]}},
    "asked for by another client": {"claims": {"azp": "another-client"}},
    "expired": {"claims": {"exp": NOW_S - DAY_S}},
    "not expiring": {"claims": {"exp": None}},
    "of tomorrow": {"claims": {"iat": NOW_S + DAY_S, "exp": NOW_S + 2 * DAY_S}},
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "another nonce": {"claims": {"nonce": "of another sign-in"}},
    "no nonce": {"claims": {"nonce": None}},
    "nobody": {"claims": {"sub": None}},
    "unsigned": {"unsigned": True},
    "signed with the client's secret": {"signed_by_secret": True},
    "signed with a key that was withdrawn": {"rotate": "RSA", "former_key": True},
    "no ID token": {"no_id_token": True},
    "information of another person": {
        "claims": {"email": None}, "userinfo": {"sub": "grace-1", "email": "g@x.example"}
    },
    "a description of another issuer": {"issuer": "https://evil.example"},
}  # fmt: skip


def test_what_proves_nothing_signs_nobody_in(
    arrive: Arrive, provider: ProviderProcess, connected: User
) -> None:
    for lie, faults in LIES.items():
        visitor = arrive()
        back = visitor.allow(visitor.begin())
        provider.become(**faults)
        assert headings(visitor.get(back)) == REFUSED, lie
        assert not visitor.is_signed_in, lie
        provider.become()
        assert visitor.through().headers["Location"] == "/", f"after {lie}"
    assert "OpenID Connect was refused" in visitor.server.log.read_text()


def test_the_answer_of_another_provider_is_refused(visitor: Visitor, connected: User) -> None:
    back = visitor.allow(visitor.begin())
    assert headings(visitor.get(f"{back}&iss=https://evil.example")) == REFUSED
    assert not visitor.is_signed_in


def test_a_new_key_of_the_provider_counts_at_once(
    arrive: Arrive, provider: ProviderProcess, connected: User
) -> None:
    for kind in ("RSA", "EC"):
        visitor = arrive()
        back = visitor.allow(visitor.begin())
        provider.become(rotate=kind)
        assert visitor.get(back).headers["Location"] == "/", kind
        assert visitor.is_signed_in, kind


def test_the_same_subject_of_another_issuer_is_another_person(
    visitor: Visitor, connected: User
) -> None:
    account = SocialAccount.objects.get()
    subject = account.extra_data["sub"]
    assert account.uid == openid.identifier(account.extra_data["iss"], subject)
    account.uid = openid.identifier("https://former.example", subject)
    account.save()
    assert visitor.through().headers["Location"] == SIGN_UP


def test_a_provider_that_is_away_is_said_and_the_password_works(
    visitor: Visitor, arrive: Arrive, provider: ProviderProcess, connected: User
) -> None:
    back = visitor.allow(visitor.begin())
    provider.become(broken=True)
    broken = visitor.get(back)
    assert headings(broken)[0] in (502, 503)
    back = visitor.allow(visitor.begin())
    provider.stop()
    for answer in (visitor.post(BEGIN), visitor.get(back)):
        assert headings(answer) == (503, "Ouranos does not answer")
        assert answer.headers["Retry-After"] == "60"
    french = arrive("fr").post(BEGIN)
    assert headings(french) == (503, "Ouranos ne répond pas")
    assert not visitor.is_signed_in
    visitor.sign_in(connected)
    assert visitor.is_signed_in


# --- In a browser, and without a provider ---------------------------------------------------------


def test_a_person_goes_through_in_chromium(
    browser: Browser, server: LiveSite, provider: ProviderProcess, connected: User
) -> None:
    page = browser.new_page()
    page.goto(f"{server.url}/accounts/login/?next=/help/")
    page.get_by_role("button", name="Sign in with Ouranos").click()
    page.get_by_label("Who").fill("ada-1")
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url(f"{server.url}/help/")
    page.goto(f"{server.url}{CONNECTIONS}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Connections")
    expect(page.get_by_role("rowheader", name="ada-1")).to_be_visible()
    page.close()


@pytest.mark.django_db
def test_without_an_issuer_there_is_no_trace_of_it() -> None:
    for name in (
        "oidc_begin",
        "oidc_callback",
        "socialaccount_signup",
        "socialaccount_connections",
    ):
        with pytest.raises(NoReverseMatch):
            reverse(name)
    client = Client()
    assert client.get("/accounts/oidc/callback/").status_code == 404
    assert client.get("/accounts/3rdparty/").status_code == 404
    assert b"oidc" not in client.get("/accounts/login/").content
    client.force_login(factories.make_user("ada"))
    assert b"Connections" not in client.get("/account/").content
