"""What allauth is told about this site: its name and its address come from ``SITE_URL``."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from challenge.errors import Refusal
from challenge.models import User
from challenge.services import links
from challenge.services.accounts import usernames


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Mails and log-in limits that do not depend on the Host header.

    Links are made by ``request.build_absolute_uri``, which ``SiteUrlMiddleware`` replaces.
    """

    error_messages = DefaultAccountAdapter.error_messages | {
        "too_many_login_attempts": _(
            "Too many failed log-ins: try again in five minutes, or reset your password."
        )
    }

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        named = {"current_site": links.named_site(), "site_name": settings.SITE_NAME}
        super().send_mail(template_prefix, email, {**named, **context})

    def send_confirmation_mail(
        self, request: HttpRequest, emailconfirmation: Any, signup: bool
    ) -> None:
        """Confirm an address; tell the primary one of an account when another is added to it."""
        super().send_confirmation_mail(request, emailconfirmation, signup)
        added = emailconfirmation.email_address
        primary = EmailAddress.objects.get_primary(added.user)
        if primary is not None and primary.verified and primary.email != added.email:
            self.send_notification_mail(
                "account/email/email_added", added.user, {"added_email": added.email}
            )

    def send_notification_mail(
        self,
        template_prefix: str,
        user: User,
        context: dict[str, Any] | None = None,
        email: str | None = None,
    ) -> None:
        """Tell the account's address what changed, and an address that it was removed."""
        super().send_notification_mail(template_prefix, user, context, email)
        deleted = (context or {}).get("deleted_email")
        if template_prefix == "account/email/email_deleted" and deleted:
            super().send_notification_mail(template_prefix, user, context, deleted)

    def clean_username(self, username: str, shallow: bool = False) -> str:
        """Refuse names that look like others', or like those who run the site."""
        # ``shallow``: allauth looks for a free name itself, and calls again for the one it found.
        try:
            cleaned = username if shallow else usernames.check(username)
        except Refusal as refusal:
            raise ValidationError(str(refusal)) from refusal
        return str(super().clean_username(cleaned, shallow=shallow))

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        # allauth puts the request's host here: another port in it would be a fresh limit.
        login = credentials.get("email", credentials.get("username", "")).lower()
        return f"{links.named_site().domain}:{login}"
