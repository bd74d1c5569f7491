"""Which server, and the token for it: kept in one file that only its owner can read."""

from __future__ import annotations

import json
import os
import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import platformdirs

from scoring.client.errors import CommandError, Exit

TOKEN = re.compile(r"[!-~]{1,200}", re.ASCII)


@dataclass(frozen=True)
class Account:
    """A server and the token for it (None: a reader)."""

    server: str
    token: str | None


def config_path() -> Path:
    """The credentials' file: FLAIR_CONFIG_DIR, else the platform's folder for settings."""
    folder = os.environ.get("FLAIR_CONFIG_DIR") or platformdirs.user_config_dir("flair")
    return Path(folder) / "credentials.json"


def cache_folder() -> Path:
    """Where phases' lists and the state of uploads are remembered."""
    return Path(os.environ.get("FLAIR_CACHE_DIR") or platformdirs.user_cache_dir("flair"))


def clean_server(server: str) -> str:
    """A server's address without trailing slash. Raises ``CommandError``."""
    try:
        parts = urlsplit(server.strip())
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        is_address = is_address and not re.search(r"\s", server.strip())
        httpx.URL(server.strip())  # refuses more than urlsplit does
    except (ValueError, httpx.InvalidURL):
        is_address = False
    if not is_address:
        raise CommandError("server-url-invalid", server=server)
    return server.strip().rstrip("/").removesuffix("/api/v1")


def _read() -> dict[str, Any]:
    try:
        stored = json.loads(config_path().read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    if not isinstance(stored, dict) or not isinstance(stored.get("tokens") or {}, dict):
        return {}
    return stored


def _write(content: dict[str, Any]) -> Path:
    path = config_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes the draft 0600 from the start: at no moment can others read the token.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".credentials-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
    Path(draft).replace(path)
    return path


def remember(account: Account) -> Path:
    """Keep a token and make its server the default one; the file's path is returned."""
    content = _read()
    tokens = dict(content.get("tokens") or {})
    tokens[account.server] = account.token
    return _write({"default": account.server, "tokens": tokens})


def forget(server: str) -> None:
    """Drop a server's token."""
    content = _read()
    tokens = dict(content.get("tokens") or {})
    tokens.pop(server, None)
    _write({"default": content.get("default", server), "tokens": tokens})


def find_server(given: str | None) -> str:
    """The address of the server: what was given, else FLAIR_SERVER, else the last one.

    Raises ``CommandError`` when none is known or it is not an address.
    """
    if given:
        return clean_server(given)
    variable = os.environ.get("FLAIR_SERVER")
    if variable:
        try:
            return clean_server(variable)
        except CommandError as error:
            raise CommandError(
                "server-variable-invalid", variable="FLAIR_SERVER", value=variable
            ) from error
    remembered = _read().get("default")
    if not remembered:
        raise CommandError("server-missing")
    return clean_server(str(remembered))


def find(*, server: str | None, need_token: bool = False) -> Account:
    """The account to use: what was given, else the environment, else what was remembered.

    Raises ``CommandError`` when no server is known, or no token and ``need_token``; OSError where
    what was remembered is needed and cannot be read.
    """
    address = find_server(server)
    try:
        token = clean_token(os.environ.get("FLAIR_TOKEN"))
    except CommandError as error:
        raise CommandError(
            "token-variable-invalid", exit_code=Exit.NOT_LOGGED_IN, variable="FLAIR_TOKEN"
        ) from error
    if token is None:
        # A reader needs no token: a home that cannot be read is no reason to stop.
        with suppress(*(() if need_token else (OSError,))):
            token = clean_token((_read().get("tokens") or {}).get(address))
    account = Account(address, token)
    return require_token(account) if need_token else account


def require_token(account: Account) -> Account:
    """The account, if it has a token. Raises ``CommandError``."""
    if not account.token:
        raise CommandError("not-logged-in", exit_code=Exit.NOT_LOGGED_IN, server=account.server)
    return account


def clean_token(token: str | None) -> str | None:
    """A token without white space around it. Raises ``CommandError`` for what is none.

    The message does not repeat it: what was pasted may be a password.
    """
    if not token or not token.strip():
        return None
    if not TOKEN.fullmatch(token.strip()):
        raise CommandError("token-form", exit_code=Exit.NOT_LOGGED_IN)
    return token.strip()
