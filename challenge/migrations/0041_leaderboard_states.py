import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("challenge", "0040_what_team_pages_show"),
    ]

    operations = [
        migrations.CreateModel(
            name="LeaderboardState",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kept_at", models.DateTimeField()),
                ("document", models.JSONField()),
                ("line_digests", models.JSONField()),
                ("sources", models.JSONField()),
                ("digest", models.CharField(max_length=64)),
                (
                    "phase",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="leaderboard_states",
                        to="challenge.phase",
                    ),
                ),
            ],
            options={
                "ordering": ["phase", "-kept_at"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("phase", "kept_at"), name="state_once_a_second"
                    )
                ],
            },
        ),
    ]
