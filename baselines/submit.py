"""Submit a packaged zip over HTTP with a token, like any participant."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scoring.client import credentials, tus
from scoring.client.api import Api
from scoring.client.credentials import Account
from scoring.client.errors import CommandError

ENDED = frozenset({"scored", "rejected", "failed", "cancelled"})


class SubmitError(ValueError):
    """The server declined, or could not be reached; the message is its own.

    `exit_code` is that of `flair`: 1 declined, 2 wrong configuration, 3 unreachable, 4 no token.
    """

    def __init__(self, declined: CommandError) -> None:
        super().__init__(f"{declined.code}: {declined.text('en')}")
        self.exit_code = int(declined.exit_code)


def run(
    archive: Path,
    *,
    server: str,
    token: str,
    phase: str,
    method_name: str,
    facts: dict[str, Any] | None = None,
    wait_s: float = 0.0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_cut: Callable[[str, float], None] = lambda reason, pause_s: None,
) -> dict[str, Any]:
    """Upload resumably and submit to a phase ("flair-2/test"); give the submission as the API does.

    `facts` are further fields of the method's fact sheet. With `wait_s` it is followed until it
    has ended or the time has passed. `on_cut` gets why sending failed and the seconds until the
    next try.
    Raises SubmitError with the server's words.
    """
    try:
        account = Account(credentials.clean_server(server), credentials.clean_token(token))
        with Api(account) as api:
            upload = tus.upload(archive, api=api, on_progress=on_progress, on_cut=on_cut)
            body = {
                "phase": phase, "upload": upload, "method_name": method_name, **(facts or {}),
            }  # fmt: skip
            submission: dict[str, Any] = api.post("submissions", body)
            until = time.monotonic() + wait_s
            while _state(submission) not in ENDED and time.monotonic() < until:
                time.sleep(1.0)
                submission = api.get(f"submissions/{submission['id']}")
            return submission
    except CommandError as declined:
        raise SubmitError(declined) from declined


def _state(submission: dict[str, Any]) -> str:
    return str(submission.get("state") or submission.get("status"))
