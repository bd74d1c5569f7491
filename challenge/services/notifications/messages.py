"""Messages of organisers to participants: previewed, tried on oneself, sent once to each person.

Sending writes the message, a delivery and a queued mail for each person in one transaction
(:mod:`mail_queue`, which notes on the delivery what became of the mail).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from challenge.errors import refuse
from challenge.models import Challenge, Message, MessageDelivery, User
from challenge.rules.roles import Act
from challenge.selectors import languages, roles
from challenge.selectors import messages as selector
from challenge.selectors.languages import text_in
from challenge.selectors.messages import Audience
from challenge.services import audit, links, throttles
from challenge.services.notifications import decision_mails, mail_queue

# A challenge sends so many messages in a day; tests to oneself are counted apart.
MESSAGES_A_DAY = 5
SUBJECT_CHARACTERS = 150
BODY_CHARACTERS = 10_000
Texts = Mapping[str, str]


@dataclass(frozen=True)
class Preview:
    """How a message would arrive: (language, subject, text) for each of its languages.

    ``recipients`` would get it; ``opted_out`` would not, for they want no messages.
    """

    mails: list[tuple[str, str, str]]
    recipients: int
    opted_out: int


def text_for(
    challenge: Challenge, *, subject: Texts, body: Texts, about_rules: bool, language: str
) -> tuple[str, str]:
    """Return subject and text of the mail in a language."""
    with translation.override(language):
        name = decision_mails.challenge_name(challenge)
        link = links.absolute(reverse("web:challenge", args=[challenge.slug]))
        if about_rules:
            why = _("You receive this mail because you take part in %(challenge)s: %(link)s")
            account = ""
        else:
            why = _(
                "You receive this mail because you take part in %(challenge)s (%(link)s). To get "
                "no more messages of organisers, change this setting in your account: %(account)s"
            )
            account = links.absolute(reverse("web:profile"))
        footer = why % {"challenge": name, "link": link, "account": account}
        current = languages.current()
        # Who reads a language that the message has not gets the one that it has.
        title = text_in(subject, current, default=next(iter(subject.values())))
        message = text_in(body, current, default=next(iter(body.values())))
        return f"{name}: {title}", decision_mails.text(message, footer)


def mails(
    challenge: Challenge, *, subject: Texts, body: Texts, about_rules: bool
) -> list[tuple[str, str, str]]:
    """Return (language, subject, text) as they arrive, for each language of a message."""
    return [
        (
            language,
            *text_for(
                challenge, subject=subject, body=body, about_rules=about_rules, language=language
            ),
        )
        for language, _name in settings.LANGUAGES
        if language in subject
    ]


def preview(
    *,
    challenge: Challenge,
    actor: User,
    subject: Texts,
    body: Texts,
    audience: Audience,
    about_rules: bool = False,
) -> Preview:
    """Return how a message would arrive and how many it would reach (``Act.PEOPLE``).

    Nothing is sent. Raises what `roles.require` raises, Refusal ``message-empty``,
    ``field-too-long``, ``message-audience-invalid``.
    """
    roles.require(actor, Act.PEOPLE, challenge)
    subject, body = checked(subject, body)
    everybody = selector.recipients(challenge, audience, about_rules=True).count()
    reached = selector.recipients(challenge, audience, about_rules=about_rules).count()
    return Preview(
        mails=mails(challenge, subject=subject, body=body, about_rules=about_rules),
        recipients=reached,
        opted_out=everybody - reached,
    )


def send(
    *,
    challenge: Challenge,
    actor: User,
    subject: Texts,
    body: Texts,
    audience: Audience,
    expected: int,
    about_rules: bool = False,
    now: datetime | None = None,
) -> Message:
    """Send a message to its audience (``Act.PEOPLE``), one mail a person, in their language.

    ``expected`` is the number of recipients that the preview showed. Raises what `roles.require`
    raises, Refusal ``message-empty``, ``field-too-long``, ``message-audience-invalid``,
    ``message-nobody``, ``messages-often``, Conflict ``message-audience-changed``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.PEOPLE, challenge)
    subject, body = checked(subject, body)
    with transaction.atomic():
        # Two at once would both find one message less than there is.
        Challenge.objects.select_for_update().only("pk").get(pk=challenge.pk)
        recent = Message.objects.filter(challenge=challenge, created_at__gt=now - timedelta(days=1))
        if recent.count() >= MESSAGES_A_DAY:
            raise refuse("messages-often", limit=MESSAGES_A_DAY)
        people = list(selector.recipients(challenge, audience, about_rules=about_rules))
        if not people:
            raise refuse("message-nobody")
        if len(people) != expected:
            raise refuse("message-audience-changed", expected=expected, found=len(people))
        message = Message.objects.create(
            challenge=challenge,
            subject=dict(subject),
            body=dict(body),
            audience=audience.to_json(),
            about_rules=about_rules,
            sent_by=actor,
            created_at=now,
        )
        deliveries = MessageDelivery.objects.bulk_create(
            MessageDelivery(message=message, user=person) for person in people
        )
        texts = {
            language: text_for(
                challenge, subject=subject, body=body, about_rules=about_rules, language=language
            )
            for language in {_language(person) for person in people}
        }
        mail_queue.queue_deliveries(
            [
                (delivery, person.email, *texts[_language(person)])
                for delivery, person in zip(deliveries, people, strict=True)
            ],
            now=now,
        )
        audit.record(
            "message.send",
            actor=actor,
            challenge=challenge,
            target=message,
            now=now,
            recipients=len(people),
            audience=audience.to_json(),
            about_rules=about_rules,
        )
    return message


def send_test(
    *,
    challenge: Challenge,
    actor: User,
    subject: Texts,
    body: Texts,
    about_rules: bool = False,
    now: datetime | None = None,
) -> int:
    """Send a message to oneself alone (``Act.PEOPLE``), a mail for each language that it has.

    Returns how many. Raises what `roles.require` raises, Refusal ``message-empty``,
    ``field-too-long``, ``too-many-requests``.
    """
    now = now or timezone.now()
    roles.require(actor, Act.PEOPLE, challenge)
    subject, body = checked(subject, body)
    throttles.check_test_messages(actor.pk)
    return mail_queue.queue_many(
        [
            (
                actor.email,
                *text_for(
                    challenge,
                    subject=subject,
                    body=body,
                    about_rules=about_rules,
                    language=language,
                ),
            )
            for language in subject
        ],
        now=now,
    )


def checked(subject: Texts, body: Texts) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts trimmed, of the languages that have both a subject and a body.

    Raises Refusal ``message-empty`` where a language has one without the other, or none has
    both; ``field-too-long``.
    """
    subjects = {language: " ".join(text.split()) for language, text in subject.items()}
    bodies = {language: text.strip() for language, text in body.items()}
    wanted = [language for language in subjects if subjects[language] or bodies.get(language)]
    if not wanted or any(not (subjects[one] and bodies.get(one)) for one in wanted):
        raise refuse("message-empty")
    for field, texts, limit in (
        ("subject", subjects, SUBJECT_CHARACTERS),
        ("body", bodies, BODY_CHARACTERS),
    ):
        longest = max(len(texts[language]) for language in wanted)
        if longest > limit:
            raise refuse("field-too-long", field=field, length=longest, limit=limit)
    return {one: subjects[one] for one in wanted}, {one: bodies[one] for one in wanted}


def _language(person: User) -> str:
    return person.language or settings.LANGUAGE_CODE
