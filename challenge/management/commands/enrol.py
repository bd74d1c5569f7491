"""Makes accounts for programs: a cluster that submits baselines, a benchmark, a trial."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from allauth.account.models import EmailAddress
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from challenge.errors import Refusal
from challenge.models import ApiToken, Challenge, User
from challenge.selectors import people
from challenge.services.accounts import tokens
from challenge.services.teams import teams

SCOPES = (ApiToken.Scope.READ, ApiToken.Scope.SUBMIT)
DOMAIN = "localhost.invalid"  # no mail leaves for it


class Command(BaseCommand):
    help = (
        "Make an account without a password for each name (or find it), register it for a "
        "challenge with a team of its name, and print a fresh access token of each as one JSON "
        "object: they read and submit like any participant."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("challenge", help="the challenge's slug, e.g. flair-2")
        parser.add_argument("names", nargs="+", metavar="NAME", help="an account's name")

    def handle(self, *args: Any, challenge: str, names: list[str], **options: Any) -> None:
        challenge_row = Challenge.objects.filter(slug=challenge).first()
        if challenge_row is None:
            known = ", ".join(Challenge.objects.values_list("slug", flat=True)) or "none"
            raise CommandError(f"no challenge {challenge!r}; there are: {known}")
        try:
            with transaction.atomic():
                made = {name: _enrol(name, challenge_row) for name in names}
        except Refusal as refusal:
            raise CommandError(f"{refusal}; nothing was written") from refusal
        self.stdout.write(json.dumps(made))


def _enrol(name: str, challenge: Challenge) -> str:
    """Give a new token of the account."""
    email = f"{name}@{DOMAIN}"
    user = User.objects.filter(username__iexact=name).first()
    if user is None:
        user = User(username=name, email=email, mail_on_announcement=False)
        user.set_unusable_password()
        user.save()
        EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    elif user.email != email:
        raise CommandError(f"the name {name!r} is a person's; choose another")
    teams.register(user=user, challenge=challenge, accept_terms_version=challenge.terms_version)
    team = people.team_of(user, challenge)
    if team is not None and team.name != name:
        teams.rename(team=team, actor=user, name=name)
    return tokens.create(user=user, name="enrol", scopes=SCOPES)[1]
