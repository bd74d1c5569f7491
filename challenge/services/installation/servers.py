"""Checks of the servers: PostgreSQL and its clock, broker, cache, mail server, proxy."""

from __future__ import annotations

import http.client
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, cast

from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.core.mail import get_connection
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from challenge.selectors import operations
from challenge.services import database_clock
from challenge.services.accounts import openid
from challenge.services.installation.findings import Finding, error, ok, warning

POSTGRESQL_OLDEST = 15
REDIS_OLDEST = 6
# Log-ins with a second factor and signed links compare clocks; leases follow the database's alone.
CLOCK_WARNING_S = 2.0
CLOCK_ERROR_S = 15.0
CONNECT_S = 5.0
SWEEP_LATE = timedelta(minutes=3)
# A broker that forgets keys drops messages.
BROKER_POLICIES = frozenset({"noeviction", "volatile-lru", "volatile-lfu", "volatile-ttl"})


def database() -> Iterator[Finding]:
    """PostgreSQL: its version, whether it takes writes, its order of text, the migrations."""
    part = "database"
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('server_version_num')::int, version(),"
                " pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',"
                " datcollate, pg_encoding_to_char(encoding)"
                " FROM pg_database WHERE datname = current_database()"
            )
            number, version, read_only, collation, encoding = cursor.fetchone()
        plan = MigrationExecutor(connection)
        missing = plan.migration_plan(plan.loader.graph.leaf_nodes())
    except Error as problem:
        yield error(part, f"no answer: {problem}", "Start it, or correct DATABASE_URL.")
        return
    found = " ".join(version.split()[:2])
    if number // 10_000 < POSTGRESQL_OLDEST:
        advice = f"Use PostgreSQL {POSTGRESQL_OLDEST} or newer."
        yield error(part, f"{found} is too old", advice)
    else:
        yield ok(part, found)
    if read_only:
        yield error(part, "takes no writes", "Point DATABASE_URL at the primary server.")
    if encoding != "UTF8":
        yield error(part, f"its encoding is {encoding}", "Create it with --encoding UTF8.")
    if collation not in {"C", "C.UTF-8", "C.UTF8"}:
        yield warning(
            part,
            f"text sorts by {collation}",
            "Names are listed in another order than in the documentation; create the database with "
            "--locale C.UTF-8 to have the same.",
        )
    if missing:
        yield error(part, f"{len(missing)} migrations are missing", "Run: manage.py migrate")


def clock() -> Iterator[Finding]:
    """How far this host's clock is from the database's."""
    before = timezone.now()
    try:
        theirs = database_clock.now()
    except Error:
        return  # said of the database already
    after = timezone.now()
    ahead_s = (before + (after - before) / 2 - theirs).total_seconds()
    uncertain_s = (after - before).total_seconds() / 2
    off_s = max(0.0, abs(ahead_s) - uncertain_s)
    found = f"{ahead_s:+.2f} s from the database's"
    advice = "Have both hosts take the time from a server (chrony or systemd-timesyncd)."
    if off_s >= CLOCK_ERROR_S:
        yield error("clock", found, advice)
    elif off_s >= CLOCK_WARNING_S:
        yield warning("clock", found, advice)
    else:
        yield ok("clock", found)


def broker() -> Iterator[Finding]:
    """Redis or Valkey as Celery's broker: its version, and that it drops no message."""
    part = "broker"
    try:
        with current_app.connection_for_write(connect_timeout=CONNECT_S) as opened:
            opened.ensure_connection(max_retries=1, timeout=CONNECT_S)
            information: dict[str, Any] = opened.default_channel.client.info()
    except (BrokerError, RedisError, OSError) as problem:
        yield error(
            part,
            f"no answer: {problem}",
            "Start it, or correct REDIS_URL. Until then the sweep alone finds work, and it too "
            "needs the broker.",
        )
        return
    name = "Valkey" if "valkey_version" in information else "Redis"
    version = str(information.get("valkey_version") or information.get("redis_version", "0"))
    if int(version.partition(".")[0]) < REDIS_OLDEST:
        yield error(part, f"{name} {version} is too old", f"Use version {REDIS_OLDEST} or newer.")
    else:
        yield ok(part, f"{name} {version}")
    policy = information.get("maxmemory_policy", "noeviction")
    if policy not in BROKER_POLICIES:
        yield warning(
            part,
            f"its maxmemory-policy is {policy}",
            "A broker must not forget messages: noeviction, or volatile-lru where it is the cache, "
            "too.",
        )


def cached() -> Iterator[Finding]:
    """The cache: whether it keeps what is written."""
    key, value = f"doctor-{secrets.token_hex(8)}", secrets.token_hex(8)
    cache.set(key, value, 60)
    away = cache.availability.error  # type: ignore[attr-defined]
    if away or cache.get(key) != value:
        yield warning(
            "cache",
            f"keeps nothing: {away or 'another value came back'}",
            "Start it, or correct CACHE_URL. The site goes on without it, slower.",
        )
    else:
        yield ok("cache", "keeps what is written")
    cache.delete(key)


def sweep() -> Iterator[Finding]:
    """Whether beat and a housekeeping worker run: the sweep records when it ran."""
    try:
        last = operations.read().last_sweep_at
    except Error:
        return
    advice = "Start beat, and a worker of the queue default (housekeeping)."
    if last is None:
        yield warning("sweep", "has not run, or the cache does not have it", advice)
    elif timezone.now() - last > SWEEP_LATE:
        yield error("sweep", f"ran last at {last:%Y-%m-%d %H:%M:%S} UTC", advice)
    else:
        yield ok("sweep", f"ran at {last:%H:%M:%S} UTC")


def mail() -> Iterator[Finding]:
    """The mail server: connects and logs in, sends nothing."""
    backend = settings.EMAIL_DELIVERY_BACKEND
    if not backend.endswith("smtp.EmailBackend"):
        yield warning(
            "mail",
            f"goes to {backend.rpartition('.')[0].rpartition('.')[2]}, to no mail server",
            "Set EMAIL_URL where web and housekeeping run: people confirm addresses by mail.",
        )
        return
    server = get_connection(backend, timeout=CONNECT_S)
    try:
        server.open()
        server.close()
    except OSError as problem:  # smtplib's errors are OSErrors
        yield error(
            "mail",
            f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT} refuses: {problem}",
            "Correct EMAIL_URL (smtps:// or ?tls=1 for TLS), or open the way to the server.",
        )
    else:
        yield ok("mail", f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT} takes mails")


def sign_in() -> Iterator[Finding]:
    """The OpenID Connect provider, where there is one: what it publishes, its keys, its clock."""
    part, issuer = "sign-in", settings.OIDC_ISSUER
    if not issuer:
        yield ok(part, "by password alone (OIDC_ISSUER is not set)")
        return
    try:
        description = openid.describe(issuer)
        count = len(openid.keys(description))
        ahead_s = openid.clock_ahead_s(issuer)
    except openid.ProviderAway as problem:
        advice = "Correct OIDC_ISSUER, or open the way; until then passwords alone sign in."
        yield error(part, f"no answer: {problem}", advice)
        return
    except openid.ProviderInvalid as problem:
        advice = f'Correct OIDC_ISSUER: as "issuer" stands in {openid.description_of(issuer)}'
        yield error(part, f"{issuer} is not accepted: {problem}", advice)
        return
    if not count:
        yield error(part, f"{issuer} has no key to sign with", "Look into its configuration.")
    elif ahead_s is not None and abs(ahead_s) > openid.LEEWAY_S:
        advice = "Have both hosts take the time from a server: its tokens end in minutes."
        yield error(part, f"this clock is {ahead_s:+.0f} s from that of {issuer}", advice)
    else:
        yield ok(part, f"{issuer} answers; it sends people back to {openid.callback_url()}")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def proxy() -> Iterator[Finding]:
    """The site at its own address: whether the proxy before it passes host and scheme on."""
    part, url = "site", f"{settings.SITE_URL}/"
    if settings.SITE_IS_HTTPS and not getattr(settings, "SECURE_PROXY_SSL_HEADER", None):
        yield warning(
            part,
            "SITE_URL is https and BEHIND_PROXY is off in this process",
            "Set BEHIND_PROXY=1 where the web runs behind a proxy that ends TLS.",
        )
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(url, timeout=CONNECT_S) as answer:
            status, location = answer.status, ""
    except urllib.error.HTTPError as answered:
        status, location = answered.code, cast(str, answered.headers.get("Location", ""))
        answered.close()
    except (OSError, http.client.HTTPException) as problem:
        yield warning(part, f"{url} is not reached from here: {problem}", "Ask from another host.")
        return
    if location.rstrip("/") == settings.SITE_URL:
        yield error(
            part,
            f"{url} redirects to itself",
            "Have the proxy set X-Forwarded-Proto to $scheme, and set BEHIND_PROXY=1.",
        )
    elif status == 400:
        yield error(
            part,
            f"{url} answers 400",
            "Have the proxy pass the host on (X-Forwarded-Host and Host), or add it to "
            "ALLOWED_HOSTS.",
        )
    elif status >= 500:
        yield error(part, f"{url} answers {status}", "Look into the web's log.")
    else:
        yield ok(part, f"{url} answers {status}")
