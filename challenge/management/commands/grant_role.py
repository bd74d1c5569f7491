"""Give a person a role in a challenge: its first owner, whom nobody could invite."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from challenge.errors import Refusal
from challenge.models import Challenge, User
from challenge.rules.roles import Role
from challenge.services.challenges import roles


class Command(BaseCommand):
    help = (
        "Give a person a role in a challenge at once, without an invitation. For the first owner "
        "of a challenge; owners invite everybody else on the page “People and roles” of the desk."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the challenge")
        parser.add_argument("email", help="the person's e-mail address; they have an account")
        parser.add_argument(
            "--role", choices=[role.value for role in Role], default=Role.OWNER.value
        )

    def handle(self, *args: Any, **options: Any) -> None:
        challenge = Challenge.objects.filter(slug=options["slug"]).first()
        if challenge is None:
            known = ", ".join(Challenge.objects.values_list("slug", flat=True)) or "none"
            raise CommandError(
                f"found no challenge {options['slug']}; there are: {known}. Load it first: "
                "manage.py load_challenge challenges/SLUG"
            )
        user = User.objects.filter(email__iexact=options["email"], is_active=True).first()
        if user is None:
            raise CommandError(
                f"found no active account with the address {options['email']}: let the person "
                "sign up first"
            )
        role = Role(options["role"])
        try:
            roles.set_role(challenge=challenge, user=user, role=role, actor=None)
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{user.username} is {role} of {challenge.slug}")
