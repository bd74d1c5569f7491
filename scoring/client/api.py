"""The site's HTTP API as the command uses it: JSON in, JSON out, refusals as ``CommandError``."""

from __future__ import annotations

import platform
from types import TracebackType
from typing import Any

import httpx

from scoring import __version__
from scoring.client import http_client
from scoring.client.credentials import Account
from scoring.client.errors import CommandError, Exit

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
RETRIED_STATUSES = frozenset({429, 502, 503, 504})


class Api:
    """One account's connection to one server."""

    def __init__(self, account: Account, *, lang: str = "en") -> None:
        self.account = account
        headers = {
            "Accept-Language": lang,
            "User-Agent": f"flair/{__version__} python/{platform.python_version()}",
        }
        if account.token:
            headers["Authorization"] = f"Bearer {account.token}"
        self.http = http_client.make_client(
            base_url=f"{account.server}/api/v1/",
            headers=headers,
            timeout=TIMEOUT,
        )

    def __enter__(self) -> Api:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.http.close()

    def get(self, path: str, **params: str | int | None) -> Any:
        """GET JSON. Raises ``CommandError`` for refusals and for a server out of reach."""
        wanted = {name: value for name, value in params.items() if value is not None}
        return self._json(self.send("GET", path, params=wanted))

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST JSON and read JSON. Raises ``CommandError``."""
        return self._json(self.send("POST", path, json=body))

    def text(self, path: str, **params: str) -> str:
        """GET text, such as CSV. Raises ``CommandError``."""
        return self._checked(self.send("GET", path, params=params)).text

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request. Raises ``CommandError`` when the server cannot be reached."""
        try:
            return self.http.request(method, path, **options)
        except httpx.TransportError as error:
            raise self.unreachable(error) from error

    def unreachable(self, error: httpx.TransportError) -> CommandError:
        """What to say when there is no answer; a proxy in between is named by its variable."""
        proxy = http_client.find_proxy(error.request.url)
        params = {"variable": proxy.variable} if proxy else {}
        return CommandError(
            "unreachable-by-proxy" if proxy else "unreachable",
            exit_code=Exit.UNREACHABLE,
            server=self.account.server,
            reason=str(error) or type(error).__name__,
            **params,
        )

    def _json(self, response: httpx.Response) -> Any:
        self._checked(response)
        try:
            return response.json()
        except ValueError as error:
            raise self.refusal(response) from error

    def _checked(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        raise self.refusal(response)

    def refusal(self, response: httpx.Response) -> CommandError:
        """A refused request, in the server's own words."""
        try:
            problem = response.json()
            code, detail = str(problem["code"]), str(problem["detail"])
        except (ValueError, KeyError, TypeError):
            is_down = response.status_code >= 500
            return CommandError(
                "answer-strange",
                exit_code=Exit.UNREACHABLE if is_down else Exit.USAGE,
                server=self.account.server,
                status=response.status_code,
            )
        exit_code = Exit.NOT_LOGGED_IN if response.status_code == 401 else Exit.REFUSED
        if response.status_code >= 500:
            exit_code = Exit.UNREACHABLE
        if code == "request-invalid":
            exit_code = Exit.USAGE
        for error in problem.get("errors") or []:
            field = str(error.get("field", "")).rpartition(".")[2]
            detail += f"\n  {field}: {error.get('message', '')}"
        return CommandError(
            code,
            exit_code=exit_code,
            message=detail,
            status=response.status_code,
            params=problem.get("params") or {},
        )
