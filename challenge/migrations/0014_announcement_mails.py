from typing import Any

from django.db import migrations, models


def ask_for_nothing(apps: Any, schema_editor: Any) -> None:
    """Nobody has chosen to get announcements: the preset was on and no mail was ever sent."""
    apps.get_model("challenge", "User").objects.update(mail_on_announcement=False)


class Migration(migrations.Migration):
    dependencies = [("challenge", "0013_ground_truth_full_precision_at")]

    operations = [
        migrations.AddField(
            model_name="announcement",
            name="mail_to",
            field=models.CharField(
                choices=[
                    ("nobody", "nobody"),
                    ("subscribers", "participants who asked for announcements"),
                    ("participants", "all participants (a change of the rules)"),
                ],
                default="nobody",
                max_length=16,
                verbose_name="e-mail to",
            ),
        ),
        migrations.AddField(
            model_name="announcement",
            name="mailed_at",
            field=models.DateTimeField(
                blank=True, editable=False, null=True, verbose_name="e-mailed"
            ),
        ),
        migrations.AlterField(
            model_name="user",
            name="mail_on_announcement",
            field=models.BooleanField(default=False, verbose_name="e-mail me announcements"),
        ),
        migrations.RunPython(ask_for_nothing, migrations.RunPython.noop),
    ]
