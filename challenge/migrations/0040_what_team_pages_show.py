from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("challenge", "0039_maintenance_period"),
    ]

    operations = [
        migrations.AddField(
            model_name="team",
            name="shows_members",
            field=models.BooleanField(db_default=True, default=True, verbose_name="members"),
        ),
        migrations.AddField(
            model_name="team",
            name="shows_methods",
            field=models.BooleanField(
                db_default=False,
                default=False,
                verbose_name="descriptions of the methods on the leaderboard",
            ),
        ),
        migrations.AddField(
            model_name="team",
            name="shows_ranks",
            field=models.BooleanField(
                db_default=True, default=True, verbose_name="rank and best score over time"
            ),
        ),
        migrations.AddField(
            model_name="team",
            name="shows_history",
            field=models.BooleanField(
                db_default=False,
                default=False,
                verbose_name="every scored submission, also those below the best",
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="shows_page",
            field=models.BooleanField(
                db_default=False,
                default=False,
                verbose_name="a public page with my teams, their methods and ranks",
            ),
        ),
    ]
