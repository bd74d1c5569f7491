"""Mails that tell people what organisers decided about them: one row each, in their language.

They are written in the transaction of the decision (:mod:`mail_queue`); a worker sends them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from django.conf import settings
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from challenge.models import Challenge, DocumentRequest, Grant, Registration, Submission, Team, User
from challenge.selectors import languages
from challenge.selectors.languages import text_in
from challenge.services import links
from challenge.services.notifications import mail_queue

# Subject and text, in the language that is active.
Compose = Callable[[], tuple[str, str]]


def queue_for(people: Iterable[User], compose: Compose, *, now: datetime) -> int:
    """Write the mail for each person with an address who can log in; returns how many."""
    written = []
    for person in people:
        if person.is_active and person.email:
            with translation.override(person.language or settings.LANGUAGE_CODE):
                written.append((person.email, *compose()))
    return mail_queue.queue_many(written, now=now)


def members_of(team: Team) -> list[User]:
    """Return the people of a team (one query)."""
    return list(User.objects.filter(memberships__team=team).order_by("pk"))


def registration_decided(registration: Registration, *, now: datetime) -> int:
    """Tell a person that the registration was approved or refused, and the organisers' note."""
    challenge = registration.challenge

    def compose() -> tuple[str, str]:
        name = challenge_name(challenge)
        if registration.state == Registration.State.APPROVED:
            first = _("Your registration to %(challenge)s was approved: you can submit.")
        else:
            first = _("The organisers refused your registration to %(challenge)s.")
        link = links.absolute(reverse("web:challenge", args=[challenge.slug]))
        return name, text(first % {"challenge": name}, registration.note, link)

    return queue_for([registration.user], compose, now=now)


def team_disqualified(team: Team, *, reason: str, now: datetime) -> int:
    """Tell the members of a team that it was disqualified, and why."""

    def compose() -> tuple[str, str]:
        name = challenge_name(team.challenge)
        first = _(
            "The organisers of %(challenge)s disqualified your team %(team)s. Its lines are off "
            "the leaderboards, and it can neither submit nor merge."
        )
        facts = {"challenge": name, "team": team.name}
        return name, text(first % facts, _because(reason), _team_link(team))

    return queue_for(members_of(team), compose, now=now)


def team_reinstated(team: Team, *, reason: str, now: datetime) -> int:
    """Tell the members of a team that it competes again."""

    def compose() -> tuple[str, str]:
        name = challenge_name(team.challenge)
        first = _(
            "The organisers of %(challenge)s reinstated your team %(team)s: it competes again."
        )
        facts = {"challenge": name, "team": team.name}
        return name, text(first % facts, _because(reason), _team_link(team))

    return queue_for(members_of(team), compose, now=now)


def submission_disqualified(submission: Submission, *, reason: str, now: datetime) -> int:
    """Tell a team that one of its submissions was disqualified, and why."""
    first = _submission_disqualified
    return _of_submission(submission, first=first, reason=reason, now=now)


def submission_reinstated(submission: Submission, *, reason: str, now: datetime) -> int:
    """Tell a team that one of its submissions stands again."""
    first = _submission_reinstated
    return _of_submission(submission, first=first, reason=reason, now=now)


def granted(grant: Grant, *, now: datetime) -> int:
    """Tell a team what it was granted, until when and why."""
    team, phase = grant.team, grant.phase

    def compose() -> tuple[str, str]:
        name = challenge_name(team.challenge)
        facts = {
            "challenge": name,
            "team": team.name,
            "phase": text_in(phase.name, languages.current(), default=phase.slug),
            "until": f"{grant.until:%Y-%m-%d %H:%M} UTC",
            "places": grant.extra_places,
        }
        late = places = ""
        if grant.late:
            late = _(
                "The organisers of %(challenge)s let your team %(team)s submit to “%(phase)s” "
                "after its close, until %(until)s."
            )
        if grant.extra_places:
            places = _(
                "The organisers of %(challenge)s give your team %(team)s more submissions to "
                "“%(phase)s” until %(until)s: %(places)s."
            )
        link = links.absolute(reverse("web:submit", args=[team.challenge.slug, phase.slug]))
        return name, text(late % facts, places % facts, _because(grant.reason), link)

    return queue_for(members_of(team), compose, now=now)


def documents_asked(row: DocumentRequest, *, now: datetime) -> int:
    """Ask the members of a team for documents, in the organisers' words, with the deadline."""

    def compose() -> tuple[str, str]:
        first = _(
            "Your team %(team)s has rank %(rank)s in “%(phase)s” of %(challenge)s. Before the "
            "result is signed the organisers ask for documents, until %(deadline)s UTC:"
        )
        facts = _document_facts(row)
        return facts["challenge"], text(first % facts, row.wanted, _documents_link(row))

    return queue_for(members_of(row.team), compose, now=now)


def documents_decided(row: DocumentRequest, *, now: datetime) -> int:
    """Tell the members of a team what became of their documents."""

    def compose() -> tuple[str, str]:
        if row.state == DocumentRequest.State.ACCEPTED:
            first = _(
                "The organisers of %(challenge)s accepted the documents of your team %(team)s."
            )
        else:
            first = _(
                "The organisers of %(challenge)s refused the documents of your team %(team)s."
            )
        facts = _document_facts(row)
        link = _documents_link(row)
        return facts["challenge"], text(first % facts, _because(row.reason), link)

    return queue_for(members_of(row.team), compose, now=now)


def _document_facts(row: DocumentRequest) -> dict[str, str]:
    return {
        "challenge": challenge_name(row.phase.challenge),
        "phase": text_in(row.phase.name, languages.current(), default=row.phase.slug),
        "team": row.team.name,
        "rank": str(row.rank),
        "deadline": f"{row.deadline:%Y-%m-%d %H:%M}",
    }


def _documents_link(row: DocumentRequest) -> str:
    address = reverse("web:documents", args=[row.phase.challenge.slug, row.phase.slug])
    return links.absolute(address)


def challenge_name(challenge: Challenge) -> str:
    """Return a challenge's title in the language that is active."""
    return text_in(challenge.title, languages.current(), default=challenge.slug)


def text(*paragraphs: str) -> str:
    """Return the paragraphs that are not empty as the text of a mail."""
    return "\n\n".join(part.strip() for part in paragraphs if part.strip()) + "\n"


def _of_submission(
    submission: Submission, *, first: Callable[[], str], reason: str, now: datetime
) -> int:
    team = submission.entry.team

    def compose() -> tuple[str, str]:
        name = challenge_name(team.challenge)
        facts = {
            "challenge": name,
            "team": team.name,
            "number": submission.number,
            "method": submission.method_name,
        }
        link = links.absolute(reverse("web:submission", args=[submission.pk]))
        return name, text(first() % facts, _because(reason), link)

    return queue_for(members_of(team), compose, now=now)


def _submission_disqualified() -> str:
    return _(
        "The organisers of %(challenge)s disqualified submission %(number)s (%(method)s) of your "
        "team %(team)s. It does not count any more."
    )


def _submission_reinstated() -> str:
    return _(
        "The organisers of %(challenge)s reinstated submission %(number)s (%(method)s) of your "
        "team %(team)s: it counts again."
    )


def _because(reason: str) -> str:
    return _("Their reason: %(reason)s") % {"reason": reason} if reason else ""


def _team_link(team: Team) -> str:
    return links.absolute(reverse("web:team-manage", args=[team.challenge.slug]))
