"""HTTP clients that read the environment of proxies and certificates when a request needs it.

httpx reads every proxy variable and all certificates when a client is made, so that one variable
it cannot read stops commands that send nothing, and it knows neither ``socks://`` nor networks in
NO_PROXY. Here each variable is read by the first request that it concerns, and an error names it.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import getproxies

import certifi
import httpcore
import httpx
from socksio import SOCKSError

from scoring.client.errors import CommandError

SCHEMES = ("http", "https", "socks5", "socks5h", "socks")
TLS_SCHEMES = frozenset({"https"})
# What httpcore lets through when a proxy answers with something that is not SOCKS 5.
SOCKS_FAILURES = (SOCKSError, AssertionError, IndexError, ValueError)
PORT_MAX = 65_535
HANDSHAKE_S = 10.0


@dataclass(frozen=True)
class ProxySetting:
    """A proxy as it was configured: the variable's name (or the system's settings), its value."""

    variable: str
    value: str

    def invalid(self, reason: str) -> CommandError:
        """The error of a value that cannot be used; passwords are left out."""
        value = re.sub(r"^([^/@]*://)?.*@", r"\1***@", self.value)
        return CommandError(
            "proxy-invalid",
            variable=self.variable,
            value=value,
            reason=reason,
            schemes=", ".join(f"{scheme}://" for scheme in SCHEMES),
        )

    def address(self) -> httpx.URL:
        """The proxy's address; ``socks://`` is SOCKS 5. Raises ``CommandError``."""
        value = self.value.strip()
        scheme, separator, rest = value.partition("://")
        if not separator:
            scheme, rest = "http", value
        scheme = scheme.lower()
        if scheme not in SCHEMES:
            raise self.invalid(f"{scheme}://")
        if re.search(r"\s", rest):
            raise self.invalid("white space")  # httpx would look for a host of that name
        try:
            url = httpx.URL(f"{'socks5' if scheme == 'socks' else scheme}://{rest}")
            port = url.port
        except (httpx.InvalidURL, ValueError) as error:
            raise self.invalid(str(error)) from error
        if not url.host or (port is not None and not 0 < port <= PORT_MAX):
            raise self.invalid(f"host {url.host!r}, port {port}")
        return url


def find_proxy(url: httpx.URL) -> ProxySetting | None:
    """The proxy for a request, as httpx and curl choose it; None for a direct connection.

    The variable of the URL's scheme comes before ALL_PROXY, lower case before upper case.
    """
    settings = getproxies()
    scheme = next((name for name in (url.scheme, "all") if settings.get(name, "").strip()), None)
    if scheme is None or bypasses_proxy(url, settings.get("no", "")):
        return None
    variables = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
    variable = next((name for name in variables if os.environ.get(name)), f"{scheme}_proxy")
    return ProxySetting(variable, settings[scheme])


def bypasses_proxy(url: httpx.URL, no_proxy: str) -> bool:
    """Whether NO_PROXY names this URL's host; an entry that cannot be read names no host.

    Entries are names (with all below them), addresses, networks, each with or without port, as
    for curl: IPv6 addresses with or without brackets.

    >>> bypasses_proxy(httpx.URL("http://[::1]:8000"), "localhost, [::1]")
    True
    >>> bypasses_proxy(httpx.URL("https://www.ign.fr"), "10.0.0.0/8 .ign.fr:8443")
    False
    """
    return any(_names_host(entry.lower(), url) for entry in re.split(r"[\s,]+", no_proxy) if entry)


def _names_host(entry: str, url: httpx.URL) -> bool:
    if entry == "*":
        return True
    scheme, separator, rest = entry.partition("://")
    if separator:
        if scheme not in ("all", url.scheme):
            return False
        entry = rest
    found = re.fullmatch(r"\[(.*)\](?::(\d+))?|([^:]*):(\d+)", entry)
    if found:
        entry = found[1] or found[3] or ""
        port = found[2] or found[4]
        if port and int(port) != (url.port or {"http": 80, "https": 443}.get(url.scheme)):
            return False
    host = url.host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(host)
        return address in ipaddress.ip_network(entry.partition("%")[0], strict=False)
    except ValueError:
        name = entry.lstrip("*").strip(".")
        hosts = {host, url.raw_host.decode("ascii").lower().rstrip(".")}
        return bool(name) and any(one == name or one.endswith(f".{name}") for one in hosts)


def tls_context() -> ssl.SSLContext:
    """Certificates of SSL_CERT_FILE, else SSL_CERT_DIR, else those of certifi.

    Raises ``CommandError`` that names the variable whose file or folder cannot be used.
    """
    file, folders = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file:
        variable, source = "SSL_CERT_FILE", {"cafile": file}
    elif folders:
        variable, source = "SSL_CERT_DIR", {"capath": folders}
        # OpenSSL says nothing of a folder that is not there; every certificate then is unknown.
        if not any(Path(folder).is_dir() for folder in folders.split(os.pathsep) if folder):
            raise _certificates_invalid(variable, folders, "no such folder")
    else:
        variable, source = "", {"cafile": certifi.where()}
    try:
        return ssl.create_default_context(cafile=source.get("cafile"), capath=source.get("capath"))
    except (OSError, ValueError) as error:
        log = os.environ.get("SSLKEYLOGFILE")
        if log and getattr(error, "filename", None) == log:
            raise _certificates_invalid("SSLKEYLOGFILE", log, str(error)) from error
        if not variable:
            raise
        raise _certificates_invalid(variable, os.environ[variable], str(error)) from error


def _certificates_invalid(variable: str, value: str, reason: str) -> CommandError:
    return CommandError("certificates-invalid", variable=variable, value=value, reason=reason)


class EnvironmentTransport(httpx.BaseTransport):
    """Sends each request directly or through the proxy that the environment names for it.

    Raises ``CommandError`` for a variable that concerns the request and cannot be used.
    """

    def __init__(self) -> None:
        self._transports: dict[tuple[bool, ProxySetting | None], httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        proxy = find_proxy(request.url)
        key = (request.url.scheme in TLS_SCHEMES, proxy)
        if key not in self._transports:
            self._transports[key] = _make_transport(proxy, is_tls=key[0])
        transport = self._transports[key]
        if proxy is None or not proxy.address().scheme.startswith("socks"):
            return transport.handle_request(request)
        try:
            return transport.handle_request(request)
        except SOCKS_FAILURES as error:
            raise httpx.ProxyError(f"not a SOCKS 5 proxy: {error}", request=request) from error

    def close(self) -> None:
        """Close every connection."""
        for transport in self._transports.values():
            transport.close()


class _HandshakeStream(httpcore.NetworkStream):
    """A connection to a proxy whose reads and writes without a timeout end after HANDSHAKE_S."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, HANDSHAKE_S if timeout is None else timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, HANDSHAKE_S if timeout is None else timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return self._stream.start_tls(ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _HandshakeBackend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        stream = super().connect_tcp(host, port, timeout, local_address, socket_options)
        return _HandshakeStream(stream)


class SocksTransport(httpx.HTTPTransport):
    """A SOCKS 5 proxy that is given up when it does not answer.

    httpcore speaks SOCKS without a timeout: a proxy that speaks HTTP waits for a line, for ever.
    """

    def __init__(self, proxy: httpx.Proxy, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool.close()
        self._pool = httpcore.SOCKSProxy(
            proxy_url=httpcore.URL(
                scheme=proxy.url.raw_scheme,
                host=proxy.url.raw_host,
                port=proxy.url.port,
                target=proxy.url.raw_path,
            ),
            proxy_auth=proxy.raw_auth,
            ssl_context=context,
            network_backend=_HandshakeBackend(),
        )


def _make_transport(proxy: ProxySetting | None, *, is_tls: bool) -> httpx.HTTPTransport:
    url = proxy.address() if proxy else None
    needs_certificates = is_tls or (url is not None and url.scheme in TLS_SCHEMES)
    # Without TLS nothing is verified: a context that trusts nobody needs no file.
    context = tls_context() if needs_certificates else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    through: httpx.Proxy | None = None
    if url is not None:
        is_tls_proxy = url.scheme in TLS_SCHEMES
        through = httpx.Proxy(url, ssl_context=context if is_tls_proxy else None)
        if url.scheme.startswith("socks"):
            return SocksTransport(through, context)
    return httpx.HTTPTransport(verify=context, proxy=through, trust_env=False)


def make_client(
    *,
    base_url: str = "",
    headers: Mapping[str, str] | None = None,
    timeout: httpx.Timeout | float,
    follow_redirects: bool = False,
) -> httpx.Client:
    """A client that opens no file and reads no variable before its first request."""
    return httpx.Client(
        base_url=base_url,
        headers=dict(headers or {}),
        timeout=timeout,
        follow_redirects=follow_redirects,
        transport=EnvironmentTransport(),
        trust_env=False,
    )
