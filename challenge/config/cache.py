"""The cache: signed JSON in Redis or Valkey, and a site that goes on without it.

**Values.** Django's own backend unpickles what it reads, so whoever may write into the cache runs
code in the site. Here a value is JSON (or bytes), authenticated with a key drawn from
``SECRET_KEY`` under the name it is stored at; anything else that is found is a miss. Whole numbers
stay plain, because the server counts with them.

**Errors.** A cache that is stopped, frozen, full or refuses us is *away*: for :data:`PAUSE_S` this
process keeps its own values in its own memory and does not ask again, so that no page waits twice.
Then one request tries. What is cached decides nothing: menus, printed tables, counters of limits.
The latter count on in each process, so that passwords cannot be guessed freely meanwhile
(decision 321).
"""

from __future__ import annotations

import hmac
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from threading import Lock
from typing import Any, TypeVar

import redis
from django.conf import settings
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

log = logging.getLogger(__name__)

T = TypeVar("T")

PAUSE_S = 5.0
LOGGED_EVERY_S = 60.0
# Of the process's own memory while the cache is away.
OWN_ENTRIES = 10_000
OWN_VALUE_BYTES = 2**20

MAC_BYTES = 32
IS_JSON, IS_BYTES = b"j", b"b"
LONGEST_NUMBER_BYTES = 20
_MISSING = object()


def seal(key: str, value: object) -> bytes | int:
    """Return ``value`` as it is stored under ``key``.

    The bytes are an HMAC-SHA256 over key and content, one byte for the kind, and the content.
    Raises ``TypeError`` where JSON cannot say it.
    """
    if type(value) is int:
        return value
    if isinstance(value, bytes):
        content = IS_BYTES + value
    else:
        content = IS_JSON + json.dumps(value, separators=(",", ":")).encode()
    return _mac(key, content) + content


def unseal(key: str, stored: Any) -> object:
    """Return the value that was sealed for ``key``; ``_MISSING`` where it was not sealed by us."""
    if len(stored) <= LONGEST_NUMBER_BYTES:
        try:
            return int(stored)
        except ValueError:
            return _MISSING
    mac, content = stored[:MAC_BYTES], stored[MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, content)):
        return _MISSING
    return content[1:] if content[:1] == IS_BYTES else json.loads(content[1:])


def _mac(key: str, content: bytes) -> bytes:
    secret = b"challenge.config.cache " + settings.SECRET_KEY.encode()
    return hmac.digest(secret, key.encode() + b"\0" + content, "sha256")


class SealedClient(RedisCacheClient):
    """Django's client of the server, whose values are sealed for the key they are stored under.

    With ``sentinel`` (``servers``, ``master``, ``options`` of connections to the servers) it is
    whichever server the sentinels name as master when a connection is made.
    """

    def __init__(self, servers: list[str], sentinel: Any = None, **options: Any) -> None:
        super().__init__(servers, **options)
        self._sentinel, self._options = sentinel, options
        self._master_pool: SentinelConnectionPool | None = None

    def _get_connection_pool(self, write: bool) -> Any:
        if self._sentinel is None:
            return super()._get_connection_pool(write)  # type: ignore[misc]
        if self._master_pool is None:
            found = Sentinel(  # type: ignore[no-untyped-call]
                self._sentinel["servers"], sentinel_kwargs=dict(self._sentinel["options"])
            )
            self._master_pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
                self._sentinel["master"], found, **self._options
            )
        return self._master_pool

    def add(self, key: Any, value: Any, timeout: Any) -> bool:
        client = self.get_client(key, write=True)
        if timeout == 0:
            return False
        return bool(client.set(key, seal(key, value), ex=timeout, nx=True))

    def get(self, key: Any, default: Any) -> Any:
        stored = self.get_client(key).get(key)
        value = _MISSING if stored is None else unseal(key, stored)
        return default if value is _MISSING else value

    def set(self, key: Any, value: Any, timeout: Any) -> None:
        client = self.get_client(key, write=True)
        if timeout == 0:
            client.delete(key)
        else:
            client.set(key, seal(key, value), ex=timeout)

    def get_many(self, keys: Iterable[Any]) -> dict[Any, Any]:
        names = list(keys)
        stored = self.get_client(None).mget(names)
        found = {
            key: unseal(key, value)
            for key, value in zip(names, stored, strict=True)
            if value is not None
        }
        return {key: value for key, value in found.items() if value is not _MISSING}

    def set_many(self, data: Mapping[Any, Any], timeout: Any) -> None:
        for key, value in data.items():
            self.set(key, value, timeout)


class Availability:
    """Whether this process asks the cache: not for a while after it failed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._away_until_s = 0.0
        self._logged_s = -LOGGED_EVERY_S
        self.error = ""

    def may_try(self) -> bool:
        """Say whether to ask now; after a pause one caller tries while the others still wait."""
        with self._lock:
            if not self.error:
                return True
            now_s = time.monotonic()
            if now_s < self._away_until_s:
                return False
            self._away_until_s = now_s + PAUSE_S
            return True

    def succeeded(self) -> None:
        """Record an answer."""
        if self.error:
            with self._lock:
                self.error = ""

    def failed(self, error: Exception) -> None:
        """Record a failure; it is logged once a minute."""
        with self._lock:
            now_s = time.monotonic()
            self.error = f"{type(error).__name__}: {error}"
            self._away_until_s = now_s + PAUSE_S
            is_logged = now_s - self._logged_s >= LOGGED_EVERY_S
            if is_logged:
                self._logged_s = now_s
        if is_logged:
            log.warning("the cache is away, this process goes on without it: %s", self.error)


_availability: dict[str, Availability] = {}


class OwnMemory(LocMemCache):
    """What one process keeps while the cache is away; large values are left out."""

    def set(
        self,
        key: str,
        value: Any,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> None:
        if not isinstance(value, (bytes, str)) or len(value) <= OWN_VALUE_BYTES:
            super().set(key, value, timeout, version)


class SiteCache(RedisCache):
    """A cache whose errors are misses. Takes ``OPTIONS["timeout_s"]``: the longest wait."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        options = dict(params.get("OPTIONS", {}))
        timeout_s = options.pop("timeout_s", 1)
        super().__init__(server, params | {"OPTIONS": options})
        self._server = server
        self._options = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            # Once more at once, for a connection that the server closed meanwhile.
            "retry": Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,)),
            **options,
        }
        own = {key: value for key, value in params.items() if key != "OPTIONS"}
        self._own = OwnMemory(
            f"away from {server}", own | {"OPTIONS": {"MAX_ENTRIES": OWN_ENTRIES}}
        )
        self.availability = _availability.setdefault(server, Availability())

    @cached_property
    def _cache(self) -> SealedClient:
        return SealedClient([self._server], **self._options)

    def _ask(self, ask: Callable[[], T], instead: Callable[[], T]) -> T:
        if self.availability.may_try():
            try:
                answer = ask()
            except (redis.exceptions.RedisError, OSError) as error:
                self.availability.failed(error)
            else:
                self.availability.succeeded()
                return answer
        return instead()

    def add(self, *args: Any, **options: Any) -> Any:
        ask = super().add
        return self._ask(lambda: ask(*args, **options), lambda: self._own.add(*args, **options))

    def get(self, *args: Any, **options: Any) -> Any:
        ask = super().get
        return self._ask(lambda: ask(*args, **options), lambda: self._own.get(*args, **options))

    def set(self, *args: Any, **options: Any) -> None:
        ask = super().set
        self._ask(lambda: ask(*args, **options), lambda: self._own.set(*args, **options))

    def touch(self, *args: Any, **options: Any) -> Any:
        ask = super().touch
        return self._ask(lambda: ask(*args, **options), lambda: self._own.touch(*args, **options))

    def delete(self, *args: Any, **options: Any) -> Any:
        ask = super().delete
        return self._ask(lambda: ask(*args, **options), lambda: self._own.delete(*args, **options))

    def get_many(self, *args: Any, **options: Any) -> Any:
        ask, instead = super().get_many, self._own.get_many
        return self._ask(lambda: ask(*args, **options), lambda: instead(*args, **options))

    def has_key(self, *args: Any, **options: Any) -> Any:
        ask, instead = super().has_key, self._own.has_key
        return self._ask(lambda: ask(*args, **options), lambda: instead(*args, **options))

    def incr(self, *args: Any, **options: Any) -> Any:
        ask = super().incr
        return self._ask(lambda: ask(*args, **options), lambda: self._own.incr(*args, **options))

    def set_many(self, *args: Any, **options: Any) -> Any:
        ask, instead = super().set_many, self._own.set_many
        return self._ask(lambda: ask(*args, **options), lambda: instead(*args, **options))

    def delete_many(self, *args: Any, **options: Any) -> None:
        ask, instead = super().delete_many, self._own.delete_many
        self._ask(lambda: ask(*args, **options), lambda: instead(*args, **options))

    def clear(self) -> Any:
        self._own.clear()
        return self._ask(super().clear, lambda: None)
