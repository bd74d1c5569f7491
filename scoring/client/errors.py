"""What ends a command, and with which exit code scripts see it."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from scoring.client.texts import say


class Exit(IntEnum):
    """Exit codes; documented in docs/participants.md, never renumbered."""

    OK = 0
    REFUSED = 1  # the archive is not valid, or the server declined
    USAGE = 2  # wrong arguments, a file that cannot be read
    UNREACHABLE = 3  # no network, or the server is down
    NOT_LOGGED_IN = 4
    STILL_RUNNING = 5  # --timeout passed before there was a score
    FAILED = 6  # the scorer broke; not the participant's fault
    INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot go on: ``code`` for scripts, a message for people."""

    def __init__(
        self, code: str, *, exit_code: Exit = Exit.USAGE, message: str = "", **params: Any
    ) -> None:
        super().__init__(code)
        self.code = code
        self.exit_code = exit_code
        self.params = params
        self._message = message

    def text(self, lang: str) -> str:
        """The message in ``lang``; a server's own message comes as it was sent."""
        return self._message or say(self.code, lang, **self.params)

    def to_json(self, lang: str) -> dict[str, Any]:
        """One entry of ``{"errors": [...]}``."""
        return {"code": self.code, "message": self.text(lang), "file": None, **self.params}
