"""No role opens the operators' admin; changes of rights leave a trail."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from challenge.models import (
    Announcement,
    AuditEvent,
    Challenge,
    Page,
    Phase,
    PublishedResult,
    User,
)
from challenge.rules.roles import Role
from challenge.services.training import training_runs
from tests.factories import (
    give_score,
    make_challenge,
    make_organiser,
    make_phase,
    make_team,
    make_user,
    submit,
)

pytestmark = pytest.mark.django_db

SECRET = re.compile("secret", re.IGNORECASE)
MODELS = [model for model in admin.site._registry if model._meta.app_label == "challenge"]


def fill(challenge: Challenge, word: str) -> Phase:
    """A row of everything that hangs on a challenge, each named after ``word``."""
    phase = make_phase(challenge, f"{word}-phase")
    submission = submit(make_team(challenge, f"{word} team"), phase, method=f"{word} method")
    give_score(submission, 0.5)
    Page.objects.create(challenge=challenge, slug=word, language="en", title=word, markdown=word)
    PublishedResult.objects.create(challenge=challenge, name=f"{word} paper", miou=0.5)
    Announcement.objects.create(challenge=challenge, key=word, title={"en": word})
    training_runs.create(
        recipe="unet", data_root="toy", actor=None, phase=phase, group=f"{word} group"
    )
    return phase


@pytest.mark.parametrize("role", [Role.OWNER, Role.OBSERVER])
def test_no_role_in_a_challenge_opens_a_list(client: Client, role: Role) -> None:
    own = make_challenge("own")
    fill(own, "known")
    client.force_login(make_organiser(own, role=role))
    for model in MODELS:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        for url in (reverse(f"{name}_changelist"), reverse(f"{name}_add")):
            assert client.get(url).status_code in {302, 403}, url


def test_the_operator_sees_drafts(client: Client) -> None:
    fill(make_challenge("secret"), "secret")
    Challenge.objects.filter(slug="secret").update(is_published=False)
    client.force_login(make_user(is_superuser=True))
    for name in ("phase", "submission", "evaluation", "team"):
        page = client.get(reverse(f"admin:challenge_{name}_changelist")).content.decode()
        assert SECRET.search(page), name


def test_changes_of_rights_leave_what_they_were_and_are(client: Client) -> None:
    client.force_login(make_user("boss", is_superuser=True))
    person = make_user("ada")
    Group.objects.create(name="helpers")
    url = reverse("admin:challenge_user_change", args=[person.pk])
    form = client.get(url).context["adminform"].form
    fields = {
        name: value
        for name in form.fields
        if name != "password" and (value := form[name].value()) not in (None, False, [])
    }
    joined = person.date_joined
    fields |= {"date_joined_0": f"{joined:%Y-%m-%d}", "date_joined_1": f"{joined:%H:%M:%S}"}
    answer = client.post(url, fields)
    assert answer.status_code == 302, answer.context["errors"]
    assert not AuditEvent.objects.filter(action="account.rights").exists()
    rights = {"is_superuser": "on", "groups": [str(Group.objects.get().pk)]}
    assert client.post(url, fields | rights).status_code == 302
    event = AuditEvent.objects.get(action="account.rights")
    assert event.target == "ada"
    assert (event.data["before"]["is_superuser"], event.data["after"]["is_superuser"]) == (
        False,
        True,
    )
    assert (event.data["before"]["groups"], event.data["after"]["groups"]) == ([], ["helpers"])
    assert User.objects.get(username="ada").is_superuser
