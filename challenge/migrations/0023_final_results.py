"""Signed final results, which the database itself keeps from being changed."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

REFUSE_CHANGES = """
CREATE FUNCTION refuse_change_of_final_result() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a final result is never changed: sign another version'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER final_result_is_never_changed
    BEFORE UPDATE OF phase_id, version, document, signature, key, reason, signed_at
    ON challenge_finalresult FOR EACH ROW EXECUTE FUNCTION refuse_change_of_final_result();
"""
ALLOW_CHANGES = """
DROP TRIGGER final_result_is_never_changed ON challenge_finalresult;
DROP FUNCTION refuse_change_of_final_result();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("challenge", "0022_page_versions"),
    ]

    operations = [
        migrations.AddField(
            model_name="phase",
            name="result_version",
            field=models.PositiveSmallIntegerField(default=0, editable=False),
        ),
        migrations.CreateModel(
            name="FinalResult",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("version", models.PositiveSmallIntegerField()),
                ("document", models.JSONField()),
                ("signature", models.CharField(max_length=88)),
                ("key", models.CharField(max_length=44)),
                ("reason", models.TextField(blank=True)),
                ("signed_at", models.DateTimeField()),
                (
                    "phase",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="final_results",
                        to="challenge.phase",
                    ),
                ),
                (
                    "signed_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["phase", "-version"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=["phase", "version"], name="result_version_once"
                    ),
                ],
            },
        ),
        migrations.RunSQL(REFUSE_CHANGES, ALLOW_CHANGES),
    ]
