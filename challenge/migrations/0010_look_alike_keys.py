from django.db import migrations, models

from challenge.rules import names


def fill(apps, schema_editor):
    """Names that look alike already stay: the first has the key, the others one with their id."""
    Team = apps.get_model("challenge", "Team")
    User = apps.get_model("challenge", "User")
    _fill(Team.objects.order_by("pk"), "name", "challenge_id")
    _fill(User.objects.order_by("pk"), "username", None)


def _fill(rows, name_field, group_field):
    taken = set()
    changed = []
    for row in rows.iterator(chunk_size=2000):
        key = names.look_alike_key(getattr(row, name_field))
        group = getattr(row, group_field) if group_field else None
        row.name_key = key if (group, key) not in taken else f"{key}\n{row.pk}"
        taken.add((group, key))
        changed.append(row)
    rows.model.objects.bulk_update(changed, ["name_key"], batch_size=2000)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("challenge", "0009_compare_ranks_anew"),
    ]

    operations = [
        migrations.AddField(
            model_name="team",
            name="name_key",
            field=models.TextField(db_default="", default="", editable=False),
        ),
        migrations.AddField(
            model_name="user",
            name="name_key",
            field=models.TextField(db_default="", default="", editable=False),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="team",
            constraint=models.UniqueConstraint(
                condition=models.Q(("name_key", ""), _negated=True),
                fields=("challenge", "name_key"),
                name="team_look_alike_once_per_challenge",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.UniqueConstraint(
                condition=models.Q(("name_key", ""), _negated=True),
                fields=("name_key",),
                name="user_look_alike_once",
            ),
        ),
    ]
