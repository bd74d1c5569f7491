"""Absolute links of the site: always under ``SITE_URL``, never under what a request calls it.

A request's Host header is written by its sender, and Django checks the name in it but not the
port: a link made of it in somebody else's mail would lead where the sender wants.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from django.conf import settings


@dataclass(frozen=True)
class NamedSite:
    """This site's name as allauth's mails print it."""

    domain: str
    name: str


def absolute(location: str, *, base_path: str = "/") -> str:
    """Return ``location`` under ``SITE_URL``; one that has a host already stays as it is.

    ``base_path`` is the page that a relative location starts from.

    >>> absolute("/data/")  # doctest: +SKIP
    'https://challenges.example.org/data/'
    """
    return urljoin(settings.SITE_URL + base_path, location)


def named_site() -> NamedSite:
    """Return the host of ``SITE_URL``, with its port where it has one."""
    host = urlsplit(settings.SITE_URL).netloc
    return NamedSite(domain=host, name=host)
