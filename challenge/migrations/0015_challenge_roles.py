"""Roles in the place of organisers: who organised a challenge until now is its owner."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

ROLES = [
    ("owner", "owner"),
    ("editor", "editor"),
    ("judge", "judge"),
    ("observer", "observer"),
]


def make_organisers_owners(apps: Any, schema_editor: Any) -> None:
    """Give every organiser the role that may do all that they could.

    Where one of them takes part the sweep ranks anew: such teams no longer rank.
    """
    roles = apps.get_model("challenge", "ChallengeRole")
    organisers = apps.get_model("challenge", "Challenge").organisers.through
    roles.objects.bulk_create(
        roles(challenge_id=row.challenge_id, user_id=row.user_id, role="owner")
        for row in organisers.objects.order_by("pk")
    )
    phases = apps.get_model("challenge", "Phase").objects
    with_organisers = phases.filter(
        entries__team__memberships__user=models.F("challenge__roles__user")
    )
    outdated = list(with_organisers.values_list("pk", flat=True))
    phases.filter(pk__in=outdated).update(ranked_at=None)


def make_owners_organisers(apps: Any, schema_editor: Any) -> None:
    """On the way back only owners without an end can do what an organiser could."""
    organisers = apps.get_model("challenge", "Challenge").organisers.through
    owners = apps.get_model("challenge", "ChallengeRole").objects.filter(
        role="owner", expires_at__isnull=True
    )
    organisers.objects.bulk_create(
        organisers(challenge_id=row.challenge_id, user_id=row.user_id)
        for row in owners.order_by("pk")
    )


class Migration(migrations.Migration):
    dependencies = [("challenge", "0014_announcement_mails")]

    operations = [
        migrations.CreateModel(
            name="ChallengeRole",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "role",
                    models.CharField(choices=ROLES, max_length=16, verbose_name="role"),
                ),
                ("granted_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "expires_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="expires at"),
                ),
                (
                    "challenge",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="roles",
                        to="challenge.challenge",
                    ),
                ),
                (
                    "granted_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="challenge_roles",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"ordering": ["challenge", "granted_at", "pk"]},
        ),
        migrations.AddConstraint(
            model_name="challengerole",
            constraint=models.UniqueConstraint(
                fields=("challenge", "user"), name="role_once_per_challenge"
            ),
        ),
        migrations.AddConstraint(
            model_name="challengerole",
            constraint=models.CheckConstraint(
                condition=models.Q(role__in=["owner", "editor", "judge", "observer"]),
                name="role_is_known",
            ),
        ),
        migrations.RunPython(make_organisers_owners, make_owners_organisers),
        migrations.RemoveField(model_name="challenge", name="organisers"),
        migrations.AlterField(
            model_name="invitation",
            name="team",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="invitations",
                to="challenge.team",
            ),
        ),
        migrations.AddField(
            model_name="invitation",
            name="challenge",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="role_invitations",
                to="challenge.challenge",
            ),
        ),
        migrations.AddField(
            model_name="invitation",
            name="role",
            field=models.CharField(blank=True, choices=ROLES, default="", max_length=16),
        ),
        migrations.AddField(
            model_name="invitation",
            name="role_expires_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="invitation",
            constraint=models.CheckConstraint(
                condition=models.Q(team__isnull=False, challenge__isnull=True, role="")
                | models.Q(team__isnull=True, challenge__isnull=False) & ~models.Q(role=""),
                name="invitation_to_a_team_or_a_role",
            ),
        ),
        migrations.AlterField(
            model_name="rankline",
            name="rank",
            field=models.PositiveIntegerField(
                help_text="null: not ranked (a baseline, a team of organisers)", null=True
            ),
        ),
    ]
