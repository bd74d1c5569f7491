"""E-mails about results, invitations, announcements: rows say what is due, a Celery task sends it.

Each is marked in the transaction that sends it, so that two workers never send the same one. A
mail server that is down is logged and tried again at the next sweep, an address that it refuses
for :data:`REFUSED_FOR`. Other mails are rows of their own (:mod:`mail_queue`).
"""

from __future__ import annotations

import logging
import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from challenge.formats import percent_text
from challenge.models import Evaluation, Invitation, Submission, User
from challenge.rules.disclosure import Viewer
from challenge.rules.lifecycle import FINISHED_STATES, State
from challenge.selectors import comparisons, roles
from challenge.selectors import submissions as submission_selector
from challenge.selectors.languages import text_in
from challenge.services import links, task_queue
from challenge.services.notifications import announcement_mails, mail_queue
from challenge.services.notifications.mail_queue import MailServerUnavailable
from challenge.services.task_queue import TaskName
from scoring.engine.problems.problems import Problem

log = logging.getLogger(__name__)

REFUSED_FOR = timedelta(days=3)
# What makes a web or mail address: a dot (in any script) or an @ between letters, a colon.
LINK_SIGNS = re.compile(r"(?<=\w)[.\u3002\uff0e\uff61@\uff20](?=\w)|[:\uff1a](?=[/\\\w])")


def is_due() -> bool:
    """Say whether anybody waits for a mail."""
    now = timezone.now()
    return (
        mail_queue.is_due(now=now)
        or _results_due().exists()
        or _invitations_due(now).exists()
        or announcement_mails.due(now).exists()
    )


def notify_workers() -> bool:
    """Send the task name where a mail is due; False: none is, or the broker is away."""
    return is_due() and task_queue.send_task(TaskName.SEND_MAIL)


def notify_workers_on_commit() -> None:
    """Send the task name once the transaction that makes a mail due is committed."""
    task_queue.send_task_on_commit(TaskName.SEND_MAIL)


def send_due(*, now: datetime | None = None, limit: int = 100) -> int:
    """Send the mails that are due, at most ``limit`` of each kind; returns how many left."""
    now = now or timezone.now()
    results = list(_results_due().values_list("pk", flat=True)[:limit])
    invitations = list(_invitations_due(now).values_list("pk", flat=True)[:limit])
    sent = 0
    announcement_mails.queue_due(now=now)
    try:
        sent += mail_queue.send_due(now=now, limit=limit)
        for submission in results:
            sent += _send_result(submission, now=now)
        for invitation in invitations:
            sent += _send_invitation(invitation, now=now)
    except MailServerUnavailable as error:
        log.warning("mail server unreachable, mails wait: %s", error)
    return sent


def _send(subject: str, message: str, *, to: str, due_at: datetime, now: datetime) -> bool | None:
    """Send one mail; True: it left, False: its address is given up, None: tried again later.

    Raises MailServerUnavailable.
    """
    one_line = " ".join(subject.split())
    if mail_queue.send_now(subject=one_line, message=message, recipient=to):
        return True
    # One address must not keep the mails of others waiting behind it.
    return None if now - due_at < REFUSED_FOR else False


def _language_of(person: User | None) -> str:
    return (person.language if person else "") or settings.LANGUAGE_CODE


# --- Results ------------------------------------------------------------------------------------


def _results_due() -> QuerySet[Submission]:
    live = Q(
        evaluations__priority=Evaluation.Priority.LIVE.value,
        evaluations__state__in=FINISHED_STATES,
    )
    return Submission.objects.filter(
        live, mail_on_result=True, mailed_at__isnull=True, submitted_by__isnull=False
    ).order_by("created_at")


@transaction.atomic
def _send_result(pk: UUID, *, now: datetime) -> bool:
    submission = (
        Submission.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("entry__phase__challenge", "submitted_by")
        .filter(pk=pk, mailed_at__isnull=True)
        .first()
    )
    if submission is None or submission.submitted_by is None:
        return False
    person = submission.submitted_by
    with translation.override(_language_of(person)):
        subject, message = _result_text(submission, language=_language_of(person), now=now)
        sent = _send(subject, message, to=person.email, due_at=submission.created_at, now=now)
    if sent is not None:
        submission.mailed_at = now
        submission.save(update_fields=["mailed_at"])
    return bool(sent)


def _result_text(submission: Submission, *, language: str, now: datetime) -> tuple[str, str]:
    phase = submission.entry.phase
    evaluation = (
        submission.evaluations.filter(priority=Evaluation.Priority.LIVE.value)
        .select_related("score")
        .order_by("-pk")[0]
    )
    title = text_in(phase.challenge.title, language, default=phase.challenge.slug)
    lines = [
        _("%(challenge)s, submission #%(number)s “%(method)s”:")
        % {
            "challenge": title,
            "number": submission.number,
            "method": submission.method_name,
        }
    ]
    if evaluation.state == State.SCORED:
        lines += _score_lines(submission, now=now)
    elif evaluation.state == State.REJECTED:
        lines.append(_("rejected; its place is given back. What was found:"))
        lines += [_problem_text(problem, language) for problem in evaluation.problems[:20]]
    else:
        lines.append(_("scoring failed on our side; its place is given back."))
    lines.append(links.absolute(f"/submissions/{submission.pk}/"))
    subject = _("Your submission to %(challenge)s") % {"challenge": title}
    return subject, "\n\n".join(lines) + "\n"


def _score_lines(submission: Submission, *, now: datetime) -> list[str]:
    """Return what its page tells of a score: the mIoU with its interval, the team's rank."""
    shown = submission_selector.detail_of(submission, viewer=Viewer.OWNER, now=now)
    if shown.card is None or shown.card["miou"] is None:
        return [_("scored")]
    miou = percent_text(shown.card["miou"])
    low, high = shown.card["miou_interval"] or (None, None)
    if low is None or high is None:
        lines = [_("scored, mIoU %(miou)s %%") % {"miou": miou}]
    else:
        ends = {"low": percent_text(low), "high": percent_text(high)}
        text = _("scored, mIoU %(miou)s %% (95 %% interval %(low)s to %(high)s)")
        lines = [text % {"miou": miou, **ends}]
    rows = comparisons.of_submission(submission, viewer=Viewer.OWNER, now=now)
    if "own" in rows and rows["own"].rank is not None:
        lines.append(_("Your team's best: rank %(rank)s.") % {"rank": rows["own"].rank})
    elif "best" in rows and rows["best"].rank is not None:
        lines.append(_("Your team keeps rank %(rank)s by another.") % {"rank": rows["best"].rank})
    return lines


def _problem_text(problem: dict[str, Any], language: str) -> str:
    try:
        return Problem.from_json(problem).text("fr" if language.startswith("fr") else "en")
    except (KeyError, TypeError):  # written under an older catalogue
        return str(problem["message"])


# --- Invitations --------------------------------------------------------------------------------


def _invitations_due(now: datetime) -> QuerySet[Invitation]:
    """Return the open invitations whose token still waits to be mailed."""
    return (
        Invitation.objects.exclude(mail_token="")
        .filter(accepted_at__isnull=True, revoked_at__isnull=True, expires_at__gt=now)
        .order_by("created_at")
    )


@transaction.atomic
def _send_invitation(pk: int, *, now: datetime) -> bool:
    invitation = (
        _invitations_due(now)
        .select_for_update(skip_locked=True, of=("self",))
        .select_related("team__challenge", "challenge", "created_by")
        .filter(pk=pk)
        .first()
    )
    if invitation is None:
        return False
    # Who has no account yet is written to in the language of who invites.
    person = User.objects.filter(email__iexact=invitation.email, is_active=True).first()
    language = _language_of(person or invitation.created_by)
    with translation.override(language):
        subject, message = _invitation_text(invitation, language=language)
        due_at = invitation.created_at
        sent = _send(subject, message, to=invitation.email, due_at=due_at, now=now)
    if sent is not None:
        invitation.mail_token = ""
        invitation.save(update_fields=["mail_token"])
    return bool(sent)


def _invitation_text(invitation: Invitation, *, language: str) -> tuple[str, str]:
    challenge = invitation.challenge
    if invitation.team is not None:
        challenge = invitation.team.challenge
    assert challenge is not None
    words = {
        "inviter": without_links(invitation.created_by.username),
        "challenge": text_in(challenge.title, language, default=challenge.slug),
        "link": links.absolute(f"/invitations/{invitation.mail_token}/"),
    }
    if invitation.team is None:
        return _role_invitation_text(words | {"role": str(roles.LABELS[invitation.role])})
    words["team"] = without_links(invitation.team.name)
    # Fixed: whoever invites may write to strangers, and shall not say there what they like.
    subject = _("Invitation to a team of a FLAIR challenge")
    message = (
        _(
            "You are invited to a team in the challenge %(challenge)s. In the words of who invites:"
            "\n\n> Team: %(team)s\n"
            "> Invited by: %(inviter)s\n\n"
            "To accept, open this address and sign in:\n%(link)s\n\n"
            "If you do not know them, ignore this mail: without your answer nothing happens.\n"
        )
        % words
    )
    return subject, message


def _role_invitation_text(words: dict[str, str]) -> tuple[str, str]:
    subject = _("Invitation to organise a challenge")
    message = (
        _(
            "You are invited to organise the challenge %(challenge)s, in the role: %(role)s.\n\n"
            "> Invited by: %(inviter)s\n\n"
            "To accept, open this address and sign in:\n%(link)s\n\n"
            "Who organises a challenge does not rank in it. If you do not know them, ignore this "
            "mail: without your answer nothing happens.\n"
        )
        % words
    )
    return subject, message


def without_links(name: str) -> str:
    """Return a name on one line, such that no mail program makes a link of a part of it.

    >>> without_links("Win at https://evil.example/x")
    'Win at https[:]//evil[.]example/x'
    >>> without_links("J. P. Larch")
    'J. P. Larch'
    """
    one_line = " ".join(name.split())
    return LINK_SIGNS.sub(lambda sign: f"[{sign[0]}]", one_line)
