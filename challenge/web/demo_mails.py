"""The mails of the demonstration, which reach no mailbox: shown on a page of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from challenge.errors import refuse
from challenge.web.requests import page_view

SHOWN = 50
# Between two messages in a file of Django's backend for files.
SEPARATOR = b"\n" + b"-" * 79 + b"\n"


@dataclass(frozen=True)
class Mail:
    """One mail as the page shows it."""

    to: str
    subject: str
    date: str
    text: str


@page_view("GET", cache=False)
def mails(request: HttpRequest) -> HttpResponse:
    """Answer the latest mails, the newest first; not found unless ``DEMO_MAILS_DIR`` is set."""
    folder = settings.DEMO_MAILS_DIR
    if folder is None:
        raise refuse("not-found")
    return render(request, "web/demo_mails.html", {"mails": list(_latest(folder))})


def _latest(folder: Path) -> Iterator[Mail]:
    files = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    left = SHOWN
    for path in files:
        for raw in reversed(path.read_bytes().split(SEPARATOR)):
            if not raw.strip():
                continue
            message = message_from_bytes(raw, EmailMessage, policy=policy.default)
            body = message.get_body(("plain",))
            yield Mail(
                to=str(message["To"]),
                subject=str(message["Subject"]),
                date=str(message["Date"]),
                text=body.get_content() if body is not None else "",
            )
            left -= 1
            if left == 0:
                return
