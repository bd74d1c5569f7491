"""Expired sessions go, with their lines on the account page; the others stay."""

from __future__ import annotations

from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from challenge.workers import maintenance
from tests import factories

pytestmark = pytest.mark.django_db


def sign_in() -> str:
    client = Client()
    user = factories.make_user()
    client.force_login(user)
    key = client.session.session_key
    UserSession.objects.get_or_create(
        session_key=key, defaults={"user": user, "ip": "127.0.0.1", "user_agent": "test"}
    )
    return str(key)


def test_the_sweep_of_files_removes_sessions_that_expired() -> None:
    kept, gone = sign_in(), sign_in()
    past = timezone.now() - timedelta(minutes=1)
    Session.objects.filter(session_key=gone).update(expire_date=past)

    assert maintenance.sweep_files()["sessions"] == 1
    assert list(Session.objects.values_list("session_key", flat=True)) == [kept]
    assert list(UserSession.objects.values_list("session_key", flat=True)) == [kept]
