"""A mail server on loopback that accepts, refuses or hangs up, as the test says."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any


class SmtpServer(socketserver.ThreadingTCPServer):
    """Collects mails in ``mails``; ``refusals`` maps a command to the line it is answered with.

    ``CONNECT`` and ``END`` stand for the greeting and for the end of a mail.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.refusals: dict[str, str] = {}
        self.unknown_addresses: set[str] = set()
        self.mails: list[EmailMessage] = []
        self.connections = 0

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Session(socketserver.StreamRequestHandler):
    server: SmtpServer

    def handle(self) -> None:
        self.server.connections += 1
        if self._answer("CONNECT", "220 test") >= 400:
            return
        while line := self.rfile.readline().decode().strip():
            command = line.partition(" ")[0].upper()
            if command == "QUIT":
                self._answer(command, "221 bye")
                return
            usual = "354 go on" if command == "DATA" else "250 ok"
            if self._answer(command, usual, line) == 354:
                self._read_mail()

    def _answer(self, command: str, usual: str, given: str = "") -> int:
        line = self.server.refusals.get(command, usual)
        if command == "RCPT" and any(a in given for a in self.server.unknown_addresses):
            line = "550 no such user"
        self.wfile.write(f"{line}\r\n".encode())
        return int(line[:3])

    def _read_mail(self) -> None:
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line)
        if self._answer("END", "250 ok") < 400:
            mail: Any = message_from_bytes(b"".join(lines), policy=policy.default)
            self.server.mails.append(mail)


@contextmanager
def smtp_server() -> Iterator[SmtpServer]:
    """Run a mail server in a thread."""
    with SmtpServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
