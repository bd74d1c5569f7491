"""Celery tasks that send mails and deliver webhooks."""

from __future__ import annotations

from celery import shared_task

from challenge.services.notifications import mails, webhooks
from challenge.services.task_queue import TaskName


@shared_task(name=TaskName.SEND_MAIL.value, acks_late=False)
def send_mail() -> int:
    """Send the mails that are due; where there are more than one task sends, start the next."""
    sent = mails.send_due()
    if sent:
        mails.notify_workers()
    return sent


@shared_task(name=TaskName.DELIVER_WEBHOOKS.value, acks_late=False)
def deliver_webhooks() -> int:
    """Make the webhook deliveries that are due."""
    return webhooks.deliver()
