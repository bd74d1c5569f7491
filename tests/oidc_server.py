"""An OpenID Connect provider in a process of its own: Authlib's server side behind Flask.

``python -m tests.oidc_server PORT``. Whoever asks for /authorize signs in as the person of the form
there. What a dishonest or broken provider would do is posted to /faults as JSON.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, Response, jsonify, request
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey
from werkzeug.serving import WSGIRequestHandler

from tests.live_site import free_port

START_S = 60.0
CLIENT_ID, CLIENT_SECRET = "flair", "a secret: of the tests"
PAGE = """<!doctype html><title>Sign in</title><form method="post">
<label>Who <input name="sub"></label>
<button name="act" value="allow">Allow</button> <button name="act" value="deny">Deny</button>
</form>"""


@dataclass
class Client:
    """The one client, confidential."""

    redirect_uri: str
    client_id: str = CLIENT_ID

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        return secrets.compare_digest(client_secret, CLIENT_SECRET)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in {"client_secret_basic", "client_secret_post"}

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code:
    """What an authorization code stands for."""

    code: str
    user: dict[str, Any]
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    code_challenge_method: str
    auth_time: int = field(default_factory=lambda: int(time.time()))

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass
class Token:
    """An access token, for the user information."""

    user: dict[str, Any]
    scope: str

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return False


class Provider:
    """The state of a provider, with what is wrong with it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redirect_uri = ""
        self.faults: dict[str, Any] = {}
        self.codes: dict[str, Code] = {}
        self.tokens: dict[str, Token] = {}
        self.people: dict[str, dict[str, Any]] = {}
        self.key: Any = None
        self.rotate("RSA")

    def rotate(self, kind: str) -> None:
        made = RSAKey.generate_key(2048) if kind == "RSA" else ECKey.generate_key("P-256")
        made.ensure_kid()
        self.former, self.key = self.key, made

    def signing(self) -> tuple[Any, dict[str, Any]]:
        """The key to sign with, and the head of what it signs."""
        if self.faults.get("unsigned"):
            return None, {"alg": "none"}
        if self.faults.get("signed_by_secret"):
            return OctKey.import_key(CLIENT_SECRET), {"alg": "HS256", "kid": self.key.kid}
        key = self.former if self.faults.get("former_key") else self.key
        return key, {"alg": "RS256" if key.key_type == "RSA" else "ES256", "kid": key.kid}

    def person(self, sub: str) -> dict[str, Any]:
        return {"sub": sub, **self.people.get(sub, {})}


class Challenge(CodeChallenge):
    """PKCE, of S256 alone."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]

    def get_authorization_code_challenge(self, authorization_code: Code) -> str:
        return authorization_code.code_challenge

    def get_authorization_code_challenge_method(self, authorization_code: Code) -> str:
        return authorization_code.code_challenge_method


def id_tokens(provider: Provider) -> OpenIDCode:
    """What makes ID tokens, with the faults that were asked for."""

    class IdToken(OpenIDCode):
        def exists_nonce(self, nonce: str, request: Any) -> bool:
            return False

        def process_token(self, grant: Any, response: Any) -> Any:
            if provider.faults.get("no_id_token"):
                return response[1]
            return super().process_token(grant, response)

        def encode_id_token(self, token: dict[str, Any], request: Any) -> str:
            """Sign what holds, unless a fault says otherwise; None leaves a claim out."""
            now_s = int(time.time())
            claims: dict[str, Any] = {
                "iss": provider.url,
                "aud": CLIENT_ID,
                "iat": now_s,
                "exp": now_s + 300,
                **self.get_authorization_code_claims(request.authorization_code),
                **request.user,
                **provider.faults.get("claims", {}),
            }
            present = {name: value for name, value in claims.items() if value is not None}
            key, header = provider.signing()
            return jwt.encode(header, present, key, algorithms=[header["alg"]])

    return IdToken(require_nonce=True)


def code_grant(provider: Provider) -> type[grants.AuthorizationCodeGrant]:
    """What exchanges codes for tokens."""

    class CodeGrant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]

        def save_authorization_code(self, code: str, request: Any) -> None:
            data = request.payload.data
            provider.codes[code] = Code(
                code=code,
                user=request.user,
                redirect_uri=request.payload.redirect_uri,
                scope=request.payload.scope,
                nonce=data.get("nonce", ""),
                code_challenge=data.get("code_challenge", ""),
                code_challenge_method=data.get("code_challenge_method", ""),
            )

        def query_authorization_code(self, code: str, client: Client) -> Code | None:
            return provider.codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            provider.codes.pop(authorization_code.code, None)

        def authenticate_user(self, authorization_code: Code) -> dict[str, Any]:
            return authorization_code.user

    return CodeGrant


def authorization_server(provider: Provider, app: Flask) -> AuthorizationServer:
    """Authlib's server for the one client."""

    def query_client(client_id: str) -> Client | None:
        return Client(provider.redirect_uri) if client_id == CLIENT_ID else None

    def save_token(token: dict[str, Any], request: Any) -> None:
        provider.tokens[token["access_token"]] = Token(request.user, token.get("scope", ""))

    server = AuthorizationServer()
    server.init_app(app, query_client=query_client, save_token=save_token)
    server.register_grant(code_grant(provider), [Challenge(required=True), id_tokens(provider)])
    return server


def protector_of(provider: Provider) -> ResourceProtector:
    """What asks for an access token."""

    class Validator(BearerTokenValidator):
        def authenticate_token(self, token_string: str) -> Token | None:
            return provider.tokens.get(token_string)

    protector = ResourceProtector()
    protector.register_token_validator(Validator())
    return protector


def add_faults(provider: Provider, app: Flask) -> None:
    """The address that tells the provider what to do wrong."""

    @app.post("/faults")
    def faults() -> Response:
        provider.faults = dict(request.get_json())
        provider.redirect_uri = provider.faults.pop("redirect_uri", provider.redirect_uri)
        provider.people |= provider.faults.pop("people", {})
        if kind := provider.faults.pop("rotate", ""):
            provider.rotate(kind)
        return jsonify({})


def build(provider: Provider) -> Flask:
    """The provider's addresses."""
    app = Flask(__name__)
    server = authorization_server(provider, app)
    add_faults(provider, app)

    @app.get("/.well-known/openid-configuration")
    def describe() -> Response:
        return jsonify(
            {
                "issuer": provider.faults.get("issuer", provider.url),
                "authorization_endpoint": f"{provider.url}/authorize",
                "token_endpoint": f"{provider.url}/token",
                "userinfo_endpoint": f"{provider.url}/userinfo",
                "jwks_uri": f"{provider.url}/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    @app.get("/keys")
    def keys() -> Response:
        return jsonify(KeySet([provider.key]).as_dict(private=False))

    @app.route("/authorize", methods=["GET", "POST"])
    def authorize() -> Any:
        try:
            grant = server.get_consent_grant(end_user=None)
        except OAuth2Error as error:
            return f"refused: {error.error}", 400
        if request.method == "GET":
            return PAGE
        user = provider.person(request.form["sub"]) if request.form["act"] == "allow" else None
        return server.create_authorization_response(grant_user=user, grant=grant)

    @app.post("/token")
    def token() -> Any:
        if provider.faults.get("broken"):
            return "out of order", 500
        return server.create_token_response()

    @app.get("/userinfo")
    @protector_of(provider)("openid")  # type: ignore[untyped-decorator]
    def userinfo() -> Response:
        return jsonify({**current_token.user, **provider.faults.get("userinfo", {})})

    return app


@dataclass
class ProviderProcess:
    """The provider as a process; ``become`` says what it does wrong from now on."""

    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """The variables of a site that uses it."""
        return {
            "OIDC_ISSUER": self.url,
            "OIDC_CLIENT_ID": CLIENT_ID,
            "OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "OIDC_NAME": "Ouranos",
        }

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.oidc_server", str(self.port)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_S
        while True:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/keys").status_code == 200:
                    return
            assert self.process.poll() is None, "the provider ended"
            assert time.monotonic() < deadline, "the provider does not answer"
            time.sleep(0.1)

    def become(self, **faults: Any) -> None:
        httpx.post(f"{self.url}/faults", json=faults).raise_for_status()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def provider_process() -> Iterator[ProviderProcess]:
    server = ProviderProcess()
    server.start()
    yield server
    server.stop()


def serve(port: int) -> None:
    """Serve until the process is ended."""
    provider = Provider(f"http://127.0.0.1:{port}")

    class Handler(WSGIRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            """What the provider's clock says, in the head of each answer."""
            return str(provider.faults.get("date") or super().date_time_string(timestamp))

    build(provider).run("127.0.0.1", port, threaded=True, request_handler=Handler)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
