from django.db import migrations, models

FILL = """
UPDATE challenge_score SET domain_mious = COALESCE(
    (SELECT jsonb_object_agg(part.key, part.value -> 'miou')
     FROM jsonb_each(card -> 'domains') part),
    '{}'::jsonb)
WHERE jsonb_typeof(card -> 'domains') = 'object'
"""


class Migration(migrations.Migration):
    dependencies = [("challenge", "0003_invitation_mail_token")]

    operations = [
        migrations.AddField(
            model_name="score",
            name="domain_mious",
            field=models.JSONField(default=dict),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
