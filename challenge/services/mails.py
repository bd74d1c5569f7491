"""E-mails about results: rows say what is due, the task sends, the sweep rings again."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from smtplib import SMTPException, SMTPRecipientsRefused
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from challenge.models import Evaluation, Submission
from challenge.rules import disclosure
from challenge.rules.disclosure import Viewer
from challenge.rules.lifecycle import State
from challenge.selectors import leaderboard
from scoring.engine.problems import Problem

log = logging.getLogger(__name__)

REFUSED_FOR = timedelta(days=3)
TOLD = (State.SCORED.value, State.REJECTED.value, State.FAILED.value)


def is_due() -> bool:
    """Say whether anybody waits for a mail."""
    return _due().exists()


def send_due(*, now: datetime | None = None, limit: int = 100) -> int:
    """Send the results that people asked to be told; returns how many mails left.

    Each is marked in the transaction that sends it, so two tasks never send the same; a mail
    server that is down is logged and tried again at the next sweep, an address that it refuses
    for three days.
    """
    sent = 0
    for pk in list(_due().values_list("pk", flat=True)[:limit]):
        with transaction.atomic():
            submission = (
                Submission.objects.select_for_update(skip_locked=True, of=("self",))
                .select_related("entry__phase__challenge", "submitted_by")
                .filter(pk=pk, mailed_at__isnull=True)
                .first()
            )
            if submission is None:
                continue
            try:
                _send(submission, now=now or timezone.now())
            except SMTPRecipientsRefused as error:
                # One address must not keep the mails of others waiting behind it.
                log.warning("the mail about %s is refused: %s", pk, error)
                if (now or timezone.now()) - submission.created_at < REFUSED_FOR:
                    continue
            except (OSError, SMTPException) as error:
                log.warning("mail server unreachable, result mail waits: %s", error)
                return sent
            else:
                sent += 1
            submission.mailed_at = now or timezone.now()
            submission.save(update_fields=["mailed_at"])
    return sent


def _due() -> QuerySet[Submission]:
    live = Q(evaluations__priority=Evaluation.Priority.LIVE.value, evaluations__state__in=TOLD)
    return Submission.objects.filter(
        live, mail_on_result=True, mailed_at__isnull=True, submitted_by__isnull=False
    ).order_by("created_at")


def _send(submission: Submission, *, now: datetime) -> None:
    person = submission.submitted_by
    assert person is not None
    phase = submission.entry.phase
    evaluation = (
        submission.evaluations.filter(priority=Evaluation.Priority.LIVE.value)
        .select_related("score")
        .first()
    )
    assert evaluation is not None
    with translation.override(person.language or settings.LANGUAGE_CODE):
        title = phase.challenge.title.get(person.language) or phase.challenge.slug
        lines = [
            _("%(challenge)s, submission #%(number)s “%(method)s”:")
            % {
                "challenge": title,
                "number": submission.number,
                "method": submission.method_name,
            }
        ]
        terms = leaderboard.terms_for(phase, viewer=Viewer.OWNER, now=now)
        visible = disclosure.score_visible(
            visibility=phase.visibility,
            viewer=Viewer.OWNER,
            opens_at=phase.opens_at,
            closes_at=phase.closes_at,
            now=now,
        )
        if evaluation.state == State.SCORED:
            miou = disclosure.figure(evaluation.score.miou, terms=terms)
            lines.append(_("scored, mIoU %(miou)s") % {"miou": miou} if visible else _("scored"))
        elif evaluation.state == State.REJECTED:
            lines.append(_("rejected; its place is given back. What was found:"))
            lang = "fr" if (translation.get_language() or "").startswith("fr") else "en"
            lines += [_said(problem, lang) for problem in evaluation.problems[:20]]
        else:
            lines.append(_("scoring failed on our side; its place is given back."))
        send_mail(
            subject=_("Your submission to %(challenge)s") % {"challenge": title},
            message="\n\n".join(lines) + "\n",
            from_email=None,
            recipient_list=[person.email],
        )


def _said(problem: dict[str, Any], lang: str) -> str:
    try:
        return Problem.from_json(problem).text(lang)
    except (KeyError, TypeError):  # written under an older catalogue
        return str(problem["message"])
