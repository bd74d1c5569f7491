"""The words of what a change of a phase means, in the page's language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext, ngettext

from challenge.models import Phase
from challenge.rules.phase_consequences import Code, Consequence
from challenge.web.zone_text import both

Words = Callable[[Mapping[str, Any], ZoneInfo], str]
VISIBILITIES = dict(Phase.VISIBILITIES)
DETAILS = dict(Phase.DETAILS)


def text(consequence: Consequence, *, zone: ZoneInfo) -> str:
    """Return one consequence as a sentence; times in ``zone`` with UTC beside."""
    return _WORDS[consequence.code](consequence.params, zone)


def _queue_waits(params: Mapping[str, Any], _zone: ZoneInfo) -> str:
    return ngettext(
        "%(n)s submission waits for its score: it is scored, and the settlement waits for it.",
        "%(n)s submissions wait for their scores: they are scored, and the settlement waits for "
        "them.",
        params["n"],
    ) % {"n": params["n"]}


def _stops_until(params: Mapping[str, Any], zone: ZoneInfo) -> str:
    at = both(datetime.fromisoformat(params["at"]), zone)
    return gettext("It takes no submissions from now on, until %(at)s.") % {"at": at}


def _shorter_notice(params: Mapping[str, Any], _zone: ZoneInfo) -> str:
    left = ngettext(
        "Teams have %(left)s hour left from now.",
        "Teams have %(left)s hours left from now.",
        params["left"],
    ) % {"left": params["left"]}
    if params["lost"] is None:
        return gettext("It gets an end, which it did not have.") + " " + left
    lost = ngettext(
        "It closes %(lost)s hour earlier than announced.",
        "It closes %(lost)s hours earlier than announced.",
        params["lost"],
    ) % {"lost": params["lost"]}
    return f"{lost} {left}"


def _longer(params: Mapping[str, Any], _zone: ZoneInfo) -> str:
    if params["hours"] is None:
        return gettext("It has no end any more: it is never settled.")
    return ngettext(
        "Teams get %(n)s hour more than announced.",
        "Teams get %(n)s hours more than announced.",
        params["hours"],
    ) % {"n": params["hours"]}


def _teams_over(params: Mapping[str, Any], _zone: ZoneInfo) -> str:
    values = {"n": params["n"], "limit": params["limit"]}
    if params["field"] == "daily_limit":
        words = ngettext(
            "%(n)s team has submitted more than %(limit)s times today.",
            "%(n)s teams have submitted more than %(limit)s times today.",
            params["n"],
        )
    elif params["field"] == "total_limit":
        words = ngettext(
            "%(n)s team has submitted more than %(limit)s times in all.",
            "%(n)s teams have submitted more than %(limit)s times in all.",
            params["n"],
        )
    else:
        words = ngettext(
            "%(n)s team has chosen more than %(limit)s submissions: all of them go on counting.",
            "%(n)s teams have chosen more than %(limit)s submissions: all of them go on counting.",
            params["n"],
        )
    return words % values


def _choices_count(params: Mapping[str, Any], _zone: ZoneInfo) -> str:
    return ngettext(
        "Once settled, chosen submissions count in place of the best; %(n)s team has chosen.",
        "Once settled, chosen submissions count in place of the best; %(n)s teams have chosen.",
        params["n"],
    ) % {"n": params["n"]}


def _choices_do_not_count(params: Mapping[str, Any], _zone: ZoneInfo) -> str:
    return ngettext(
        "Each team's best submission counts: the choice of %(n)s team is without effect.",
        "Each team's best submission counts: the choices of %(n)s teams are without effect.",
        params["n"],
    ) % {"n": params["n"]}


def _freeze_hides(params: Mapping[str, Any], _zone: ZoneInfo) -> str:
    return ngettext(
        "%(n)s submission leaves the leaderboard, for organisers too.",
        "%(n)s submissions leave the leaderboard, for organisers too.",
        params["n"],
    ) % {"n": params["n"]}


def _freeze_shows(params: Mapping[str, Any], _zone: ZoneInfo) -> str:
    return ngettext(
        "%(n)s submission more may show on the leaderboard.",
        "%(n)s submissions more may show on the leaderboard.",
        params["n"],
    ) % {"n": params["n"]}


_WORDS: dict[Code, Words] = {
    Code.QUEUE_WAITS: _queue_waits,
    Code.CLOSES: lambda _params, _zone: gettext("It closes at once."),
    Code.REOPENS: lambda _params, _zone: gettext("It takes submissions again."),
    Code.OPENS: lambda _params, _zone: gettext("It opens at once."),
    Code.STOPS_UNTIL: _stops_until,
    Code.SHORTER_NOTICE: _shorter_notice,
    Code.LONGER: _longer,
    Code.TEAMS_OVER: _teams_over,
    Code.CHOICES_COUNT: _choices_count,
    Code.CHOICES_DO_NOT_COUNT: _choices_do_not_count,
    Code.GRACE_SHORTER: lambda params, _zone: (
        gettext(
            "The phase is closed: teams have less time to choose, and it may be settled at once "
            "(%(minutes)s minutes after the last verdict)."
        )
        % {"minutes": params["minutes"]}
    ),
    Code.BOARD_APPEARS: lambda params, _zone: (
        gettext("The leaderboard appears: %(whom)s.") % {"whom": VISIBILITIES[params["visibility"]]}
    ),
    Code.BOARD_HIDES: lambda params, _zone: (
        gettext("The leaderboard is seen by fewer: %(whom)s.")
        % {"whom": VISIBILITIES[params["visibility"]]}
    ),
    Code.DETAIL_WIDENS: lambda params, _zone: (
        gettext("More is shown of each score: %(what)s.") % {"what": DETAILS[params["detail"]]}
    ),
    Code.DETAIL_NARROWS: lambda params, _zone: (
        gettext("Less is shown of each score: %(what)s.") % {"what": DETAILS[params["detail"]]}
    ),
    Code.FULL_PRECISION_EARLIER: lambda _params, _zone: gettext(
        "Figures leave in full precision while another phase on the same labels goes on: who "
        "submits there can read labels from them."
    ),
    Code.FREEZE_HIDES: _freeze_hides,
    Code.FREEZE_SHOWS: _freeze_shows,
    Code.OWN_SCORES_HIDE: lambda _params, _zone: gettext(
        "Teams no longer see their own scores of later submissions."
    ),
    Code.ARCHIVES_GO_EARLIER: lambda params, _zone: (
        gettext(
            "Archives that decide nothing are removed %(days)s days after the close: earlier than "
            "before, for good."
        )
        % {"days": params["days"]}
    ),
    Code.PUBLISHED: lambda _params, _zone: gettext("Everybody sees the phase."),
    Code.HIDDEN: lambda _params, _zone: gettext(
        "Nobody but organisers sees the phase, its leaderboard included."
    ),
}
