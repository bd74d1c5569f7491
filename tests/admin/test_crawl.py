"""No page of the admin breaks, for anybody: each list, form, history, search, filter and action."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from challenge.models import (
    Announcement,
    AuditEvent,
    Page,
    Phase,
    PublishedResult,
    Upload,
    User,
    Webhook,
    WebhookDelivery,
)
from challenge.rules.roles import Role
from challenge.services.accounts import tokens
from challenge.services.training import training_runs
from tests.factories import (
    give_score,
    make_organiser,
    make_phase,
    make_team,
    make_user,
    submit,
)

pytestmark = pytest.mark.django_db

ODD_IDS = ["0", "9" * 30, "a%00b", str(uuid4())]
ODD_QUERIES = [
    "q=a", "q=%00", "q='%22%3C", "q=" + "x" * 3000, "o=1.-2.99", "o=x", "p=0", "p=999999", "p=x",
    "all=", "e=1", "_popup=1", "_to_field=id", "_to_field=password", "pk__in=1,x", "id__exact=x",
    # a year that no date holds is left out: it breaks Django's own list of allauth's models
    "password__startswith=a", "user__password__startswith=a", "state__exact=odd", "challenge=x",
    "same_pixels=odd", "entry__phase__id__exact=x", "created_at__year=x",
    "at__day=77", "disqualified_at__isempty=x", "is_published__exact=x", "_facets=True",
]  # fmt: skip
VIEWERS = ("superuser", "organiser", "observer with rights")


@pytest.fixture
def phase() -> Phase:
    """A row of every model that the admin shows."""
    phase = make_phase(closes_at=None)
    challenge = phase.challenge
    owner = make_user("owner")
    EmailAddress.objects.create(user=owner, email=owner.email, verified=True, primary=True)
    give_score(submit(make_team(challenge, members=[owner]), phase), 0.5)
    submit(make_team(challenge), phase)
    tokens.create(user=owner, name="t", scopes=["read"])
    Upload.objects.create(user=owner, length_bytes=1, expires_at=timezone.now())
    hook = Webhook.objects.create(user=owner, url="https://example.org", secret="s", events=[])
    WebhookDelivery.objects.create(
        webhook=hook, event="ping", payload={}, created_at=timezone.now(), dedupe_key="k"
    )
    Page.objects.create(challenge=challenge, slug="rules", language="en", title="r", markdown="m")
    PublishedResult.objects.create(challenge=challenge, name="paper", miou=0.5)
    Announcement.objects.create(challenge=challenge, published_at=timezone.now(), key="k")
    AuditEvent.objects.create(at=timezone.now(), action="x", actor=owner, challenge=challenge)
    training_runs.create(recipe="unet", data_root="toy", actor=None, phase=phase)
    Group.objects.create(name="helpers")
    return phase


@pytest.fixture(params=VIEWERS)
def viewer(request: pytest.FixtureRequest, phase: Phase) -> User:
    kind: str = request.param
    user = make_user(kind.replace(" ", "-"))
    if kind == "superuser":
        user.is_superuser = True
        user.save()
    if kind == "organiser":
        make_organiser(phase.challenge, user)
    if kind == "observer with rights":
        make_organiser(phase.challenge, user, Role.OBSERVER)
        user.user_permissions.set(Permission.objects.all())
    return user


def forms(model: type[Any]) -> Iterator[str]:
    """Yield the addresses of a model's list and forms, of rows that are there and of others."""
    lists = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    yield lists
    yield f"{lists}add/"
    keys = [str(pk) for pk in model._default_manager.values_list("pk", flat=True)[:1]]
    yield from (f"{lists}{key}/{act}/" for key in keys + ODD_IDS
                for act in ("change", "delete", "history"))  # fmt: skip


def queries(model: type[Any]) -> Iterator[str]:
    """Yield the addresses of a model's list with what people may write into them."""
    page = admin.site._registry[model]
    lists = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    yield from (f"{lists}?{query}" for query in ODD_QUERIES)
    request = RequestFactory().get(lists)
    request.user = User(is_superuser=True, is_active=True)
    for one in page.get_list_filter(request):
        field = one[0] if isinstance(one, tuple) else one
        if isinstance(field, str):
            for lookup in ("exact=1", "exact=x", "id__exact=1", "id__exact=x", "isnull=x"):
                yield f"{lists}?{field}__{lookup}"


def test_no_page_of_the_admin_breaks(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    client.raise_request_exception = False
    answers = []
    for model in admin.site._registry:
        answers += [(address, client.get(address).status_code) for address in forms(model)]
        answers += [(address, client.post(address).status_code) for address in forms(model)]
        if viewer.is_superuser:
            answers += [(address, client.get(address).status_code) for address in queries(model)]
    assert [answer for answer in answers if answer[1] >= 500] == []


def test_no_action_of_the_admin_breaks(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    client.raise_request_exception = False
    answers = []
    for model, page in admin.site._registry.items():
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        keys = [str(pk) for pk in model._default_manager.values_list("pk", flat=True)]
        for action in (*page.actions, "delete_selected", "odd"):
            # keys of another kind break Django's own list in the same way
            for selected in (keys, []):
                for more in ({}, {"confirmed": "1", "reason": "why", "post": "yes"}):
                    fields = {"action": action, "_selected_action": selected, "index": "0", **more}
                    answers.append((url, fields, client.post(url, fields).status_code))
    assert [answer for answer in answers if answer[2] >= 500] == []


def test_the_pages_around_the_models_do_not_break(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    client.raise_request_exception = False
    for path in (
        "", "challenge/", "auth/", "account/", "jsi18n/", "autocomplete/", "odd/", "login/",
        "password_change/", "logout/", "r/1/1/", "r/x/y/", "challenge/user/x/password/",
        f"challenge/user/{viewer.pk}/password/",
        "autocomplete/?app_label=challenge&model_name=apitoken&field_name=user",
    ):  # fmt: skip
        assert client.get(f"/admin/{path}").status_code < 500, path
