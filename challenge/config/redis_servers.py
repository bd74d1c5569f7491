"""The addresses of Redis or Valkey in the environment, and what Celery and the cache make of them.

Over TLS the server's certificate is verified, always: with the system's authorities, or with those
of ``REDIS_CA``. kombu by itself verifies nothing where ``rediss://`` comes without options. With
Sentinel, the servers are asked which of them is the master at each connection.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from redis.backoff import NoBackoff
from redis.retry import Retry

from challenge import env

SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
SCHEMES = ("redis", "rediss", "unix", *SENTINEL_SCHEMES)
SENTINEL_PORT = 26379
SENTINEL_OPTIONS = ("master", "sentinel_user", "sentinel_password")
# Of one sentinel; the next one is asked after it.
SENTINEL_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class RedisServer:
    """One server, or the master that ``sentinels`` (host and port of each) name ``master``."""

    url: str
    is_tls: bool = False
    ca: str = ""
    user: str = ""
    password: str = ""
    database: int = 0
    master: str = ""
    sentinels: tuple[tuple[str, int], ...] = ()
    sentinel_login: tuple[tuple[str, str], ...] = ()

    @property
    def tls(self) -> dict[str, Any]:
        """redis-py's options for TLS; empty without."""
        if not self.is_tls:
            return {}
        authorities = {"ssl_ca_certs": self.ca} if self.ca else {}
        return {"ssl_cert_reqs": "required", "ssl_check_hostname": True, **authorities}

    @property
    def login(self) -> dict[str, str]:
        """redis-py's options for who connects."""
        named = {"username": self.user, "password": self.password}
        return {key: value for key, value in named.items() if value}

    @property
    def sentinel_options(self) -> dict[str, Any]:
        """redis-py's options for connections to the sentinels themselves."""
        return {
            # The next sentinel is asked at once instead.
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": SENTINEL_TIMEOUT_S,
            "socket_connect_timeout": SENTINEL_TIMEOUT_S,
            **dict(self.sentinel_login),
            **({"ssl": True, **self.tls} if self.is_tls else {}),
        }

    def broker_url(self) -> str:
        """The address as kombu spells it."""
        if not self.sentinels:
            # kombu spells a socket's address in its own way.
            return self.url.replace("unix://", "redis+socket://", 1)
        login = quote(self.user, safe="")
        if self.password:
            login += f":{quote(self.password, safe='')}"
        at = f"{login}@" if login else ""
        return ";".join(
            f"sentinel://{at}{host}:{port}/{self.database}" for host, port in self.sentinels
        )

    def broker_options(self) -> dict[str, Any]:
        """What kombu's transport needs beside the address."""
        if not self.sentinels:
            return {}
        return {"master_name": self.master, "sentinel_kwargs": self.sentinel_options}

    def broker_tls(self) -> dict[str, Any] | None:
        """kombu's options for TLS; None without."""
        return self.tls | {"ssl_cert_reqs": ssl.CERT_REQUIRED} if self.is_tls else None

    def cache_options(self) -> dict[str, Any]:
        """The options of ``challenge.config.cache.SiteCache`` beside the address."""
        if not self.sentinels:
            return self.tls
        return {
            "sentinel": {
                "servers": [list(server) for server in self.sentinels],
                "master": self.master,
                "options": self.sentinel_options,
            },
            "db": self.database,
            **self.login,
            **({"ssl": True, **self.tls} if self.is_tls else {}),
        }


def read(name: str, url: str, *, ca: Path | None) -> RedisServer:
    """Return the server at ``url``, the value of the variable ``name``.

    ``ca`` is a PEM file with the authorities that certificates are verified against. Raises
    ``env.BadSetting`` for an address that cannot be understood, or a file that cannot be read.
    """
    scheme = url.partition(":")[0]
    if scheme.startswith("rediss") and ca is not None:
        _check_ca(ca)
    authorities = str(ca) if ca else ""
    if scheme in SENTINEL_SCHEMES:
        return _read_sentinel(name, url, ca=authorities)
    address = env.take_apart(name, url, schemes=SCHEMES)
    if any(option.startswith("ssl_") for option in address.options):
        raise env.BadSetting(
            name,
            f"has the options {', '.join(sorted(address.options))}",
            "certificates are always verified; name a private authority in REDIS_CA",
        )
    return RedisServer(url=url, is_tls=scheme == "rediss", ca=authorities)


def _read_sentinel(name: str, url: str, *, ca: str) -> RedisServer:
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
        login, _at, hosts = parts.netloc.rpartition("@")
        user, _colon, password = login.partition(":")
        sentinels = tuple(_host_and_port(one) for one in hosts.split(","))
        database = int(parts.path.strip("/") or 0)
    except ValueError as error:
        raise env.BadSetting(
            name,
            f"is no address of sentinels ({error})",
            "write redis+sentinel://user:password@host:26379,host:26379/0?master=NAME",
        ) from error
    unknown = sorted(set(options) - set(SENTINEL_OPTIONS))
    if unknown or not options.get("master"):
        raise env.BadSetting(
            name,
            f"has the options {', '.join(unknown)}" if unknown else "names no master",
            f"allowed are {', '.join(SENTINEL_OPTIONS)}; master is needed",
        )
    logins = (("username", "sentinel_user"), ("password", "sentinel_password"))
    return RedisServer(
        url=url,
        is_tls=parts.scheme.startswith("rediss"),
        ca=ca,
        user=unquote(user),
        password=unquote(password),
        database=database,
        master=options["master"],
        sentinels=sentinels,
        sentinel_login=tuple((key, options[own]) for key, own in logins if options.get(own)),
    )


def _host_and_port(written: str) -> tuple[str, int]:
    """``host``, ``host:port`` or ``[address]:port``. Raises ``ValueError``."""
    parts = urlsplit(f"//{written}")
    if not parts.hostname:
        raise ValueError("a host is missing")
    return parts.hostname, parts.port or SENTINEL_PORT


def _check_ca(ca: Path) -> None:
    try:
        ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise env.BadSetting(
            "REDIS_CA", f"{str(ca)!r} cannot be used ({error})", "name a readable PEM file"
        ) from error
