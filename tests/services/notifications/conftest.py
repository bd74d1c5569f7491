"""A mail server for the site, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.smtp_server import SmtpServer, smtp_server


@pytest.fixture
def server(settings: Any) -> Iterator[SmtpServer]:
    """A mail server, and the settings of a site with ``EMAIL_URL=smtp://…``."""
    with smtp_server() as server:
        settings.EMAIL_BACKEND = "challenge.services.notifications.mail_queue.QueueingBackend"
        settings.EMAIL_DELIVERY_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.ACCOUNT_RATE_LIMITS = False
        yield server
