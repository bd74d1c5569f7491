"""The words of the launch check, in the page's language."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.urls import reverse
from django.utils.translation import gettext, ngettext

from challenge.models import Challenge
from challenge.selectors.launch import Check, State
from challenge.templatetags.flair import text as title_of
from challenge.web import zone_text


@dataclass(frozen=True)
class Line:
    """A check in words, and the address where it is mended."""

    state: State
    words: str
    url: str
    phase: str = ""


def line(check: Check, *, challenge: Challenge, zone: ZoneInfo) -> Line:
    """Return a check in words."""
    names = {
        "pages": "web:desk-pages",
        "languages": "web:desk-pages",
        "texts": "web:desk-phases",
        "task": "web:desk-task",
        "phases": "web:desk-phases",
    }
    url = reverse(names[check.code], args=[challenge.slug]) if check.code in names else ""
    if check.phase is not None:
        url = reverse("web:desk-phase", args=[challenge.slug, check.phase.slug])
        if check.code == "labels":
            url = reverse("web:desk-labels", args=[challenge.slug])
    phase = title_of(check.phase.name) if check.phase is not None else ""
    return Line(check.state, _words(check, zone), url, phase)


def _words(check: Check, zone: ZoneInfo) -> str:  # noqa: C901 - one case a check
    good = check.state is State.GOOD
    facts = check.facts
    if check.code == "pages":
        if good:
            return gettext("The pages that joining needs are written.")
        return gettext("Pages that joining needs are missing: %(list)s.") % facts
    if check.code == "languages":
        return gettext("Pages that are not written in every required language: %(list)s.") % facts
    if check.code == "texts":
        return gettext("Texts that are not written in every required language: %(list)s.") % facts
    if check.code == "task":
        if good:
            return gettext("The task is written: classes, size, names, patches.")
        return gettext("The task is not written: classes, size, names, patches.")
    if check.code == "phases":
        if good:
            return gettext("A phase is published.")
        return gettext("No phase is published: nobody could submit.")
    if check.code == "dates":
        return _dates(check, zone)
    if check.code == "labels":
        if good:
            return ngettext(
                "Labels of %(n)s patch are installed.",
                "Labels of %(n)s patches are installed.",
                facts["n"],
            ) % {"n": facts["n"]}
        return gettext(
            "No labels are installed. Seal them in the browser on the page of labels, or install "
            "them on a worker: manage.py install_ground_truth %(slug)s --phase %(phase)s --labels "
            "FOLDER"
        ) % _names(check)
    if check.code == "oracle":
        if good:
            return gettext("The labels themselves, handed in as predictions, score 1.")
        return gettext(
            "Whether the labels score 1 as predictions was not checked yet. On a worker: "
            "manage.py check_oracle %(slug)s %(phase)s"
        ) % _names(check)
    if check.code == "baseline":
        if good:
            return gettext("A baseline was scored.")
        return gettext("No baseline was scored: participants have nothing to compare with.")
    if check.code == "rare":
        if good:
            return gettext("Every scored class has pixels enough to be shown before the close.")
        return (
            gettext("Too rare to be shown before the close without telling labels: %(list)s.")
            % facts
        )
    return _mail(check)


def _names(check: Check) -> dict[str, str]:
    assert check.phase is not None
    return {"slug": check.phase.challenge.slug, "phase": check.phase.slug}


def _dates(check: Check, zone: ZoneInfo) -> str:
    assert check.phase is not None
    opens = zone_text.both(check.phase.opens_at, zone)
    if check.phase.closes_at is None:
        return gettext("Opens %(opens)s, without an end.") % {"opens": opens}
    times = {"opens": opens, "closes": zone_text.both(check.phase.closes_at, zone)}
    if check.state is State.GOOD:
        return gettext("Opens %(opens)s, closes %(closes)s.") % times
    return gettext("It is over already: it opened %(opens)s and closed %(closes)s.") % times


def _mail(check: Check) -> str:
    if check.state is State.BAD:
        return gettext("This site sends no mail: set EMAIL_URL.")
    if check.state is State.GOOD:
        return gettext("Mail leaves this site.")
    n = check.facts["n"]
    return ngettext(
        "%(n)s mail has waited for an hour.", "%(n)s mails have waited for an hour.", n
    ) % {"n": n}
