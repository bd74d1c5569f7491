"""Which server, and the token for it: kept in one file that only its owner can read."""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from scoring.client.errors import CommandError, Exit

TOKEN = re.compile(r"[!-~]{1,200}", re.ASCII)


@dataclass(frozen=True)
class Account:
    """A server and the token for it (None: a reader)."""

    server: str
    token: str | None


def config_path() -> Path:
    """The credentials' file: FLAIR_CONFIG_DIR, else the platform's place for settings."""
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
    except ValueError:
        is_address = False
    if not is_address:
        raise CommandError("server-url-invalid", server=server)
    return server.strip().rstrip("/").removesuffix("/api/v1")


def _read() -> dict[str, Any]:
    try:
        found = json.loads(config_path().read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


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


def find(*, server: str | None, token: str | None = None) -> Account:
    """The account to use: what was given, else the environment, else what was remembered.

    Raises ``CommandError`` when no server is known.
    """
    content = _read()
    address = server or os.environ.get("FLAIR_SERVER") or content.get("default")
    if not address:
        raise CommandError("server-missing")
    address = clean_server(str(address))
    remembered = (content.get("tokens") or {}).get(address)
    return Account(address, clean_token(token or os.environ.get("FLAIR_TOKEN") or remembered))


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
