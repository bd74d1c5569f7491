"""Every address of the desk that is read, whoever adds one."""

from __future__ import annotations

import re

from challenge.web.urls import urlpatterns

DESK = "challenges/<slug:slug>/desk/"


def routes() -> list[str]:
    """Return the routes below the desk but those of acts, which are posted to."""
    found = [str(one.pattern) for one in urlpatterns]
    return [one for one in found if one.startswith(DESK) and "<str:act>" not in one]


def fill(route: str, arguments: dict[str, str]) -> str:
    """Return the address of a route; a key is a parameter, or ``folder/parameter``.

    Raises KeyError for a parameter that has no argument.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        folder = route[: match.start()].rstrip("/").rpartition("/")[2]
        return arguments.get(f"{folder}/{name}") or arguments[name]

    return "/" + re.sub(r"<\w+:(\w+)>", value, route)
