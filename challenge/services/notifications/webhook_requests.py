"""One HTTP request to an address that a stranger chose, made so that it cannot reach inwards.

The name is resolved once, every address found must be a public one, and the connection goes to
exactly that address (a second look-up could answer differently). No redirect is followed, little
of the answer is read, and a watchdog ends it all after a few seconds.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.utils.translation import gettext_noop as _

from challenge.rules import public_addresses

CONNECT_TIMEOUT_S = 5.0
TOTAL_TIMEOUT_S = 15.0
ANSWER_BYTES = 4096


class CannotCall(Exception):
    """The address may not or cannot be called; the message says why, in few English words.

    It is kept in logs as it is; who shows it translates it.
    """


class _HostUnknown(CannotCall):
    """The name leads nowhere, now."""


@dataclass(frozen=True)
class Target:
    """A URL taken apart, with the one address that will be called."""

    scheme: str
    host: str
    port: int
    path: str
    address: str


def split_url(url: str) -> SplitResult:
    """A URL's parts. Raises ``CannotCall`` for anything but plain http and https."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise CannotCall(_("it is no URL")) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CannotCall(_("it must begin with https:// or http:// and name a host"))
    if parts.username or parts.password:
        raise CannotCall(_("it must not hold a user name or a password"))
    if port == 0 or not url.isascii() or not url.isprintable() or " " in url:
        raise CannotCall(_("it holds characters or a port that no web address has"))
    return parts


def resolve(url: str) -> Target:
    """Where a call will go. Raises ``CannotCall`` for a private network or a port not allowed."""
    parts = split_url(url)
    host = str(parts.hostname)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if settings.WEBHOOK_PORTS and port not in settings.WEBHOOK_PORTS:
        raise CannotCall(_("its port is not one that web servers use here"))
    try:
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _HostUnknown(_("its host is not known")) from error
    addresses = [str(entry[4][0]).partition("%")[0] for entry in resolved]
    if not settings.WEBHOOK_ALLOW_PRIVATE:
        for address in addresses:
            if not public_addresses.is_public(ipaddress.ip_address(address)):
                raise CannotCall(_("its host is in a private network"))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path, addresses[0])


def check(url: str) -> None:
    """Raise ``CannotCall`` for an address that could never be called.

    One whose host is not known at this moment passes: every call resolves it again.
    """
    try:
        resolve(url)
    except _HostUnknown:
        return


class _PinnedConnection(http.client.HTTPConnection):
    """A connection to the address that was checked, under the name that was asked for."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.host, target.port, timeout=CONNECT_TIMEOUT_S)
        self._target = target

    def connect(self) -> None:
        plain = socket.create_connection(
            (self._target.address, self._target.port), timeout=CONNECT_TIMEOUT_S
        )
        if self._target.scheme == "https":
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(plain, server_hostname=self._target.host)
        else:
            self.sock = plain

    def shut_down(self) -> None:
        """Break the connection under whoever is waiting on it."""
        if self.sock is not None:
            with suppress(OSError):  # it is closed already, which is what was wanted
                self.sock.shutdown(socket.SHUT_RDWR)


def post(url: str, *, body: bytes, headers: dict[str, str]) -> int:
    """Send ``body`` and return the answer's status. Raises ``CannotCall``."""
    target = resolve(url)
    connection = _PinnedConnection(target)
    watchdog = threading.Timer(TOTAL_TIMEOUT_S, connection.shut_down)
    watchdog.daemon = True
    watchdog.start()
    try:
        connection.request("POST", target.path, body=body, headers=headers)
        answer = connection.getresponse()
        answer.read(ANSWER_BYTES)
        return answer.status
    except ssl.SSLError as error:
        raise CannotCall(_("its certificate is not accepted")) from error
    except TimeoutError as error:
        raise CannotCall(_("it did not answer in time")) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CannotCall(_("the connection failed")) from error
    finally:
        watchdog.cancel()
        connection.close()
