"""Teams, invitations, tokens, one's data: what the pages do."""

from __future__ import annotations

import re

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from challenge.models import ApiToken, Membership, Phase, Team, User
from challenge.services import throttles
from challenge.services.accounts import tokens
from challenge.services.notifications import mails
from tests import factories
from tests.web.conftest import Visit


def act(team: Team, name: str) -> str:
    return reverse("web:team-act", args=[team.challenge.slug, name])


def manage_url(team: Team) -> str:
    return reverse("web:team-manage", args=[team.challenge.slug])


def test_an_invitation_by_link_brings_a_member(team: Team, visit: Visit) -> None:
    captain = visit(factories.captain_of(team))
    html = captain.post(act(team, "invite"), {"email": ""}, follow=True).content.decode()
    link = re.search(r"http://[^/]+(/invitations/[^<]+)<", html)
    assert link is not None
    assert link[1] not in captain.get(manage_url(team)).content.decode()  # shown this once
    guest = factories.captain_of(factories.make_team(team.challenge))
    client = visit(guest)
    assert "Larch" in client.get(link[1]).content.decode()
    client.post(link[1])
    assert team.memberships.filter(user=guest).exists()
    assert visit(factories.make_user()).get(link[1]).status_code == 410


def test_an_invitation_by_mail_is_queued_for_a_worker(team: Team, visit: Visit) -> None:
    visit(factories.captain_of(team)).post(act(team, "invite"), {"email": "bo@example.org"})
    assert mail.outbox == []
    assert mails.send_due() == 1
    assert mail.outbox[0].to == ["bo@example.org"]
    link = re.search(r"http://[^/]+(/invitations/\S+)", mail.outbox[0].body)
    assert link is not None
    assert visit(factories.make_user()).get(link[1]).status_code == 200


@pytest.mark.parametrize(
    "name", ["rename", "invite", "revoke", "leave", "remove", "captain", "merge", "answer"]
)
def test_another_person_finds_no_organiser_page(team: Team, visit: Visit, name: str) -> None:
    assert visit(factories.make_user()).post(act(team, name)).status_code == 404
    assert visit().post(act(team, name)).status_code == 302


def test_a_member_sees_what_only_the_captain_may_do(team: Team, visit: Visit) -> None:
    member = factories.make_user()
    Membership.objects.create(team=team, user=member, challenge=team.challenge)
    html = visit(member).post(act(team, "rename"), {"name": "Mine"}, follow=True).content.decode()
    assert "Only the captain of the team may do this." in html
    team.refresh_from_db()
    assert team.name == "Larch"


def test_the_captain_renames_and_hands_over(team: Team, visit: Visit) -> None:
    member = factories.make_user()
    Membership.objects.create(team=team, user=member, challenge=team.challenge)
    client = visit(factories.captain_of(team))
    client.post(act(team, "rename"), {"name": "Mélèze", "affiliation": "Briançon"})
    client.post(act(team, "captain"), {"user": member.pk})
    team.refresh_from_db()
    assert (team.name, team.affiliation) == ("Mélèze", "Briançon")
    assert factories.captain_of(team) == member


def test_two_teams_merge_once_both_captains_agree(team: Team, visit: Visit) -> None:
    other = factories.make_team(team.challenge, "Beech")
    visit(factories.captain_of(team)).post(act(team, "merge"), {"team": other.pk})
    asked = other.merge_requests_received.get()
    client = visit(factories.captain_of(other))
    assert "Larch" in client.get(manage_url(other)).content.decode()
    client.post(act(other, "answer"), {"request": asked.pk, "accept": "1"})
    assert other.memberships.count() == 2


def test_the_public_page_names_members_and_rank(team: Team, phase: Phase, visit: Visit) -> None:
    factories.give_score(factories.submit(team, phase), 0.5)
    html = visit().get(reverse("web:team", args=[team.challenge.slug, team.pk])).content.decode()
    assert factories.captain_of(team).username in html
    assert "50.00" in html
    assert "example.org" not in html


def test_a_token_is_shown_once_and_works(visit: Visit, db: None) -> None:
    user = factories.make_user()
    client = visit(user)
    fields = {"name": "laptop", "scopes": ["read"], "days": "30"}
    assert client.post(reverse("web:tokens"), fields).status_code == 302
    assert not user.api_tokens.exists()
    html = client.post(
        reverse("account_reauthenticate"), {"password": "secret", "next": reverse("web:tokens")}
    ).content.decode()
    plain = re.search(r"flair_[0-9a-f]+_[\w-]+", html)
    assert plain is not None
    found = tokens.authenticate(plain[0])
    assert found is not None
    assert found.user == user
    assert plain[0] not in client.get(reverse("web:tokens")).content.decode()


def test_only_the_owner_revokes_a_token(visit: Visit, db: None) -> None:
    owner = factories.make_user()
    token, _plain = tokens.create(user=owner, name="laptop", scopes=["read"])
    address = reverse("web:revoke-token", args=[token.pk])
    assert visit(factories.make_user()).post(address).status_code == 404
    assert visit(owner).post(address).status_code == 302
    assert ApiToken.objects.get().revoked_at is not None


def test_the_profile_is_saved(visit: Visit, db: None) -> None:
    user = factories.make_user("ada")
    fields = {
        "username": "ada",
        "affiliation": "IGN",
        "language": "fr",
        "theme": "dark",
        "timezone": "Europe/Paris",
    }
    assert visit(user).post(reverse("web:profile"), fields).status_code == 302
    user.refresh_from_db()
    assert (user.affiliation, user.timezone) == ("IGN", "Europe/Paris")


def test_the_export_holds_my_data_alone(team: Team, visit: Visit) -> None:
    me = factories.captain_of(team)
    other = factories.make_user("somebody-else")
    text = visit(me).get(reverse("web:export")).content.decode()
    assert me.email in text
    assert other.email not in text


def test_deletion_asks_for_the_password(visit: Visit, db: None) -> None:
    user = factories.make_user()
    client = visit(user)
    address = reverse("web:delete-account")
    assert client.post(address, {"password": "wrong"}).status_code == 422
    assert User.objects.filter(pk=user.pk).exists()
    assert client.post(address, {"password": "secret"}).status_code == 302
    assert not User.objects.filter(pk=user.pk, is_active=True).exists()


@pytest.mark.parametrize("name", ["profile", "tokens", "webhooks", "data", "export"])
def test_account_pages_are_for_those_signed_in(visit: Visit, name: str, db: None) -> None:
    assert visit().get(reverse(f"web:{name}")).status_code == 302
    assert visit(factories.make_user()).get(reverse(f"web:{name}")).status_code == 200


def test_signing_up_asks_to_confirm_the_address(visit: Visit, db: None) -> None:
    client = visit(language="fr")
    assert "Mot de passe" in client.get("/accounts/signup/").content.decode()
    fields = {
        "email": "new@example.org",
        "username": "newcomer",
        "password1": "correct-horse-7",
        "password2": "correct-horse-7",
    }
    client.post("/accounts/signup/", fields)
    link = re.search(r"http://\S+(/accounts/confirm-email/\S+)", str(mail.outbox[0].body))
    assert link is not None
    assert client.get(link[1]).status_code == 200
    client.post(link[1])
    assert User.objects.get(username="newcomer").emailaddress_set.get().verified


def test_one_mailbox_signs_up_a_few_times_an_hour(visit: Visit, db: None) -> None:
    """20 of 25 variants of one address signed up in a minute, each with a mail to it."""
    for number in range(12):
        answer = visit().post(
            "/accounts/signup/",
            {
                "email": f"Ada+{number}@Example.org",
                "username": f"newcomer{number}",
                "password1": "correct-horse-7",
                "password2": "correct-horse-7",
            },
        )
    assert User.objects.count() == throttles.SIGNUPS_LIMIT
    assert "Too many sign-ups with addresses of this mailbox" in answer.content.decode()
    assert "try again in" in answer.content.decode()


def test_an_account_keeps_the_language_that_it_was_made_in(db: None) -> None:
    """A French browser, no cookie: the pages after the sign-up and the mails stay French."""
    client = Client(headers={"accept-language": "fr-FR,fr;q=0.9"})
    answer = client.post(
        "/accounts/signup/",
        {
            "email": "lea@example.org",
            "username": "lea",
            "password1": "correct-horse-7",
            "password2": "correct-horse-7",
        },
        headers={"accept-language": "fr-FR,fr;q=0.9"},
    )
    assert answer.status_code == 302
    assert User.objects.get(username="lea").language == "fr"
    body = mail.outbox[0].body
    assert body.startswith("Bonjour,")
    link = re.search(r"http://[^/]+(/accounts/confirm-email/\S+)", body)
    assert link is not None
    home = client.post(link[1], follow=True, headers={"accept-language": "fr-FR,fr;q=0.9"})
    assert '<html lang="fr"' in home.content.decode()
