from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def note_accepted_versions(apps: Any, schema_editor: Any) -> None:
    """Each registration accepted the version that it names."""
    acceptance = apps.get_model("challenge", "TermsAcceptance")
    rows = apps.get_model("challenge", "Registration").objects.values_list(
        "pk", "terms_version", "accepted_at"
    )
    acceptance.objects.bulk_create(
        (
            acceptance(registration_id=pk, version=version, accepted_at=at)
            for pk, version, at in rows.iterator()
        ),
        batch_size=1000,
    )


class Migration(migrations.Migration):

    dependencies = [
        ('challenge', '0017_team_disqualifications'),
    ]

    operations = [
        migrations.CreateModel(
            name='AdmissionEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('value', models.CharField(max_length=254)),
                ('key', models.CharField(max_length=300)),
                ('added_at', models.DateTimeField()),
                ('added_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('challenge', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='admission_entries', to='challenge.challenge')),
            ],
            options={
                'ordering': ['value'],
                'constraints': [models.UniqueConstraint(fields=('challenge', 'key'), name='admission_entry_once')],
            },
        ),
        migrations.CreateModel(
            name='TermsAcceptance',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.CharField(max_length=40)),
                ('accepted_at', models.DateTimeField()),
                ('registration', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='acceptances', to='challenge.registration')),
            ],
            options={
                'ordering': ['accepted_at', 'pk'],
                'constraints': [models.UniqueConstraint(fields=('registration', 'version'), name='terms_version_accepted_once')],
            },
        ),
        migrations.RunPython(note_accepted_versions, migrations.RunPython.noop),
    ]
