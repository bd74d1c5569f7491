"""Runs every check of an installation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from challenge.services.installation import host, servers
from challenge.services.installation.findings import Finding, error

log = logging.getLogger(__name__)

CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "versions": host.versions,
    "settings": host.configuration,
    "database": servers.database,
    "clock": servers.clock,
    "broker": servers.broker,
    "cache": servers.cached,
    "sweep": servers.sweep,
    "storage": host.storage,
    "disk": host.folders,
    "labels": host.labels,
    "mail": servers.mail,
    "site": servers.proxy,
    "sign-in": servers.sign_in,
}


def examine(*, skip: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """Yield what each check finds, one after the other; ``skip`` names checks to leave out.

    Never raises for what it finds: a check that fails itself is a finding.
    """
    for name, check in CHECKS.items():
        if name in skip:
            continue
        try:
            yield from check()
        except Exception as problem:
            log.debug("the check %s failed", name, exc_info=True)
            found = f"the check failed: {type(problem).__name__}: {problem}"
            yield error(name, found, "LOG_LEVEL=DEBUG shows where.")
