"""What every page of a challenge shows around its content: tabs, phases, the viewer's part."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from challenge.models import Challenge, Phase
from challenge.rules.windows import Window
from challenge.selectors import languages, pages, people

WINDOW_LABELS = {
    Window.UPCOMING: (_("soon"), "info"),
    Window.OPEN: (_("open"), "good"),
    Window.CLOSED: (_("closed"), ""),
}
NOT_READY = (_("not ready yet"), "warn")


def challenge_context(
    request: HttpRequest,
    challenge: Challenge,
    *,
    current: str = "",
    phase: Phase | None = None,
    as_participant: bool = False,
) -> dict[str, Any]:
    """Return what every page of a challenge shows around its content.

    ``phase`` comes from ``pages.phase_by_slug``, which knows the viewer: then no query is needed
    that was not made in the last ten seconds. ``membership`` is true for who takes part.
    ``current`` names the tab: a page's slug, "leaderboard", "submit", "mine", "team", "news",
    "desk", "desk-people" or "training". ``as_participant``: what somebody without a role sees once
    the challenge is published; its tabs lead to further previews.
    """
    user = AnonymousUser() if as_participant else request.user
    membership: Any
    if phase is None:
        membership = people.membership_of(user, challenge)
        lines = pages.phase_statuses(challenge, user=user)
    else:
        membership = people.team_id_in(user, phase)
        now = timezone.now()
        lines = [pages.phase_status(phase, now) for phase in pages.phase_menu(challenge)]
    main = main_phase([line.phase for line in lines], preferred=phase)
    acts, organising = [], []
    board = []
    if main is not None:
        board.append(_tab("leaderboard", gettext("Leaderboard"), current, challenge, main))
    if membership is not None and main is not None:
        acts.append(_tab("submit", gettext("Submit"), current, challenge, main))
        acts.append(
            {
                "url": reverse("web:submissions", args=[challenge.slug]),
                "title": gettext("My submissions"),
                "current": current == "mine",
            }
        )
        acts.append(
            {
                "url": reverse("web:team-manage", args=[challenge.slug]),
                "title": gettext("My team"),
                "current": current == "team",
            }
        )
    organises = people.is_organiser(user, challenge)
    if organises:
        organising.append(
            {
                "url": reverse("web:desk", args=[challenge.slug]),
                "title": gettext("Desk"),
                "current": current in {"desk", "desk-people"},
            }
        )
        organising.append(
            {
                "url": reverse("web:training", args=[challenge.slug]),
                "title": gettext("Training runs"),  # a page of the challenge may be "Baselines"
                "current": current == "training",
            }
        )
    texts = [
        {
            "url": reverse("web:desk-preview", args=[challenge.slug, slug])
            if as_participant
            else page_url(challenge, slug),
            "title": title,
            "current": slug == current,
        }
        for slug, title in pages.tab_pages(challenge, language=languages.current())
    ]
    # what moves comes second, so that a phone shows it without scrolling
    groups = [
        (gettext("The challenge"), [*texts[:1], *board, *texts[1:]]),
        (gettext("Taking part"), acts),
        (gettext("Organising"), organising),
    ]
    return {
        "challenge": challenge,
        "membership": membership,
        "organises": organises,
        "tab_groups": [{"title": title, "tabs": tabs} for title, tabs in groups if tabs],
        "phase_statuses": lines,
        "phases": [phase_summary(line) for line in lines],
        "challenge_open": any(line.open or line.waits_for_labels for line in lines),
        "phase": phase,
    }


def main_phase(phases: list[Phase], *, preferred: Phase | None = None) -> Phase | None:
    """Return the phase that links lead to: the one shown, else the last with a ranking."""
    if preferred is not None:
        return preferred
    ranked = [phase for phase in phases if phase.ranks_version > 0]
    return next(reversed(ranked or phases), None)


def phase_summary(line: pages.PhaseStatus) -> dict[str, Any]:
    """Return a phase's card for the overview's side."""
    label, tone = NOT_READY if line.waits_for_labels else WINDOW_LABELS[line.window]
    return {
        "phase": line.phase,
        "label": label,
        "tone": tone,
        "open": line.open,
        "waits_for_labels": line.waits_for_labels,
        "closed": line.closed,
        "upcoming": line.upcoming,
    }


def page_url(challenge: Challenge, slug: str) -> str:
    """Return the address of a challenge's page."""
    if slug == "overview":
        return reverse("web:challenge", args=[challenge.slug])
    return reverse("web:page", args=[challenge.slug, slug])


def _tab(name: str, title: str, current: str, challenge: Challenge, phase: Phase) -> dict[str, Any]:
    return {
        "url": reverse(f"web:{name}", args=[challenge.slug, phase.slug]),
        "title": title,
        "current": name == current,
    }
