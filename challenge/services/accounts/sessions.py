"""Sessions that expired are removed, with what allauth lists of them on the account page."""

from __future__ import annotations

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef
from django.utils import timezone


def sweep() -> int:
    """Remove expired sessions; returns how many. What Django's ``clearsessions`` does, and more."""
    removed, _kinds = Session.objects.filter(expire_date__lt=timezone.now()).delete()
    alive = Session.objects.filter(session_key=OuterRef("session_key"))
    UserSession.objects.filter(~Exists(alive)).delete()
    return removed
