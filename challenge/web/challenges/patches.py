"""The patches of a challenge, by domain: where the map of the départements leads to.

Where a phase has a kit, with pictures of its patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from challenge.models import Phase
from challenge.selectors import galleries, pages, patch_lists
from challenge.selectors.patch_lists import ZonePatches
from challenge.web.challenges import facts, gallery
from challenge.web.requests import page_view
from challenge.web.views import challenge_context


@dataclass(frozen=True)
class DomainLine:
    """A domain in the list of all: ``patches`` of the phases that are shown."""

    domain: str
    name: str
    patches: int


@page_view("GET")
def patches(request: HttpRequest, slug: str) -> HttpResponse:
    """Answer the domains, or with ``?domain=`` the patches of one of them."""
    challenge = pages.challenge_by_slug(slug, user=request.user)
    listed = patch_lists.of_challenge(challenge, user=request.user)
    names = facts.domain_names(challenge.facts)
    domain = request.GET.get("domain", "")[:64]
    context = challenge_context(request, challenge, current="data") | {
        "domains": _domain_lines(listed, names),
        "domain": domain,
        "domain_name": names.get(domain, domain),
        "groups": _groups([one for one in listed if one.domain == domain]) if domain else [],
        "gallery": gallery.build(
            galleries.of_challenge(challenge, user=request.user),
            challenge=challenge,
            query=request.GET,
            names=names,
        ),
        "map_page": pages.page_with_map(challenge),
    }
    return render(request, "web/patches.html", context)


def _domain_lines(listed: list[ZonePatches], names: dict[str, str]) -> list[DomainLine]:
    counts: dict[str, int] = {}
    for one in listed:
        if one.domain:
            counts[one.domain] = counts.get(one.domain, 0) + one.count
    return [DomainLine(key, names.get(key, key), counts[key]) for key in sorted(counts)]


def _groups(zones: list[ZonePatches]) -> list[tuple[Phase, list[ZonePatches]]]:
    return [(phase, list(rows)) for phase, rows in groupby(zones, key=lambda one: one.phase)]
