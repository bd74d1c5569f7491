"""The desk's page of people and roles, invitations to a role, and tokens of organisers."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from challenge.models import ApiToken, Challenge, ChallengeRole, Invitation, Phase
from challenge.rules.roles import Role
from challenge.services.notifications import mails
from tests import factories
from tests.web.conftest import Visit

pytestmark = pytest.mark.django_db


def page_of(challenge: Challenge) -> str:
    return reverse("web:desk-people", args=[challenge.slug])


def act(challenge: Challenge, name: str) -> str:
    return reverse("web:desk-people-act", args=[challenge.slug, name])


@pytest.mark.parametrize("language", ["en", "fr"])
def test_an_owner_invites_and_the_invited_person_takes_the_role(
    phase: Phase, visit: Visit, language: str
) -> None:
    challenge = phase.challenge
    owner, judge = factories.make_organiser(challenge), factories.make_user(language=language)
    fields = {"email": judge.email, "role": "judge", "expires_at": "2199-03-31"}
    page = visit(owner, language=language).post(act(challenge, "invite"), fields, follow=True)
    assert judge.email in page.content.decode()
    mails.send_due()
    [sent] = mail.outbox
    assert ("juge" if language == "fr" else "judge") in str(sent.body)
    link = re.search(r"https?://[^/]+(/invitations/\S+)", str(sent.body))
    assert link
    shown = visit(judge, language=language).get(link[1]).content.decode()
    assert owner.username in shown
    stranger = visit(language=language)
    page = stranger.get(link[1])
    assert owner.username in page.content.decode()
    assert f"{reverse('account_login')}?next={link[1]}" in page.content.decode()
    assert stranger.post(link[1])["Location"] == f"{reverse('account_login')}?next={link[1]}"
    taken = visit(judge, language=language).post(link[1], follow=True)
    assert taken.redirect_chain == [(page_of(challenge), 302)]
    row = ChallengeRole.objects.get(user=judge)
    assert (row.role, row.expires_at) == ("judge", datetime(2199, 4, 1, tzinfo=UTC))
    assert judge.username in visit(owner).get(page_of(challenge)).content.decode()


def test_an_owner_changes_and_revokes_and_withdraws(phase: Phase, visit: Visit) -> None:
    challenge = phase.challenge
    owner = factories.make_organiser(challenge)
    other = factories.make_organiser(challenge, role=Role.JUDGE)
    client = visit(owner)
    client.post(act(challenge, "change"), {"user": other.pk, "role": "editor", "expires_at": ""})
    assert ChallengeRole.objects.get(user=other).role == "editor"
    odd = client.post(act(challenge, "change"), {"user": other.pk, "role": "king"}, follow=True)
    assert "king" in odd.content.decode()
    past = {"user": other.pk, "role": "editor", "expires_at": "2001-01-01"}
    page = client.post(act(challenge, "change"), past, follow=True).content.decode()
    assert "must be today or later" in page
    client.post(act(challenge, "revoke"), {"user": other.pk})
    ended_at = ChallengeRole.objects.get(user=other).expires_at
    assert ended_at is not None
    assert ended_at <= timezone.now()
    client.post(act(challenge, "invite"), {"email": "new@example.org", "role": "observer"})
    client.post(act(challenge, "withdraw"), {"invitation": Invitation.objects.get().pk})
    assert Invitation.objects.get().revoked_at is not None


def test_a_wrong_address_is_told_at_its_field(phase: Phase, visit: Visit) -> None:
    client = visit(factories.make_organiser(phase.challenge))
    answer = client.post(act(phase.challenge, "invite"), {"email": "no", "role": "judge"})
    assert answer.status_code == 422
    assert not Invitation.objects.exists()


def test_the_last_owner_cannot_leave_and_others_can(phase: Phase, visit: Visit) -> None:
    challenge = phase.challenge
    owner = factories.make_organiser(challenge)
    page = visit(owner).post(act(challenge, "leave"), follow=True).content.decode()
    assert "make somebody else owner first" in page
    observer = factories.make_organiser(challenge, role=Role.OBSERVER)
    left = visit(observer).post(act(challenge, "leave"), follow=True)
    assert left.redirect_chain == [("/", 302)]
    assert visit(observer).get(page_of(challenge)).status_code == 403


@pytest.mark.parametrize("role", [Role.EDITOR, Role.JUDGE, Role.OBSERVER])
def test_others_read_the_list_and_change_nothing(phase: Phase, visit: Visit, role: Role) -> None:
    challenge = phase.challenge
    owner, person = (
        factories.make_organiser(challenge),
        factories.make_organiser(challenge, role=role),
    )
    client = visit(person)
    page = client.get(page_of(challenge)).content.decode()
    assert owner.username in page
    assert "invite" not in page
    fields = {"email": "a@example.org", "role": "owner"}
    assert client.post(act(challenge, "invite"), fields).status_code == 403
    client.post(act(challenge, "change"), {"user": person.pk, "role": "owner"})
    client.post(act(challenge, "revoke"), {"user": owner.pk})
    assert ChallengeRole.objects.get(user=person).role == role.value
    assert ChallengeRole.objects.get(user=owner).expires_at is None
    assert not Invitation.objects.exists()


def test_without_a_second_factor_the_page_says_how_to_switch_it_on(
    phase: Phase, visit: Visit, settings: Settings
) -> None:
    settings.SECOND_FACTOR_REQUIRED = True
    challenge = phase.challenge
    client = visit(factories.make_organiser(challenge))
    assert reverse("mfa_index") in client.get(page_of(challenge)).content.decode()
    refused = client.post(act(challenge, "invite"), {"email": "a@example.org", "role": "owner"})
    assert refused.status_code == 403
    assert reverse("mfa_index") in refused.content.decode()
    assert not Invitation.objects.exists()


def test_the_page_takes_few_queries_whatever_its_length(
    phase: Phase, visit: Visit, django_assert_max_num_queries: object
) -> None:
    client = visit(factories.make_organiser(phase.challenge))
    for _turn in range(20):
        factories.make_organiser(phase.challenge, role=Role.OBSERVER)
    client.get(page_of(phase.challenge))
    with django_assert_max_num_queries(12):  # type: ignore[operator]
        client.get(page_of(phase.challenge))


def test_the_form_of_tokens_offers_to_organise_to_who_has_a_role(
    phase: Phase, visit: Visit
) -> None:
    url, fields = reverse("web:tokens"), {"name": "t", "scopes": ["organise"], "days": "30"}
    stranger = factories.make_user()
    assert 'value="organise"' not in visit(stranger).get(url).content.decode()
    assert visit(stranger).post(url, fields).status_code in {302, 422}
    assert not ApiToken.objects.exists()
    observer = factories.make_organiser(phase.challenge, role=Role.OBSERVER)
    assert 'value="organise"' in visit(observer).get(url).content.decode()


def test_the_head_leads_organisers_to_their_pages(phase: Phase, visit: Visit) -> None:
    link = f'href="{reverse("web:organise")}"'
    assert link not in visit(factories.make_user(is_staff=True)).get("/").content.decode()
    observer = visit(factories.make_organiser(phase.challenge, role=Role.OBSERVER))
    assert link in observer.get("/").content.decode()
    other = factories.make_challenge("other")
    page = observer.get(reverse("web:organise")).content.decode()
    assert reverse("web:desk", args=[phase.challenge.slug]) in page
    assert "observer" in page
    assert reverse("web:desk", args=[other.slug]) not in page
    assert reverse("admin:index") not in page
    operator = visit(factories.make_user(is_superuser=True))
    page = operator.get(reverse("web:organise")).content.decode()
    assert reverse("web:desk", args=[other.slug]) in page
    assert reverse("admin:index") in page


def test_the_operators_admin_sends_organisers_to_their_desks(phase: Phase, visit: Visit) -> None:
    owner = visit(factories.make_organiser(phase.challenge))
    answer = owner.get(reverse("admin:index"), follow=True)
    assert answer.redirect_chain[-1][0] == reverse("web:organise")
    for name in ("submission", "phase", "registration", "announcement"):
        url = reverse(f"admin:challenge_{name}_changelist")
        assert owner.get(url).status_code == 302
        assert owner.post(url, {"action": "approve"}).status_code == 302
