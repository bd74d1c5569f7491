import challenge.rules.commitments
from django.db import migrations, models


def give_keys(apps, schema_editor):
    """Each known set of labels gets a key of its own."""
    for truth in apps.get_model("challenge", "GroundTruth").objects.only("pk"):
        truth.commitment_key = challenge.rules.commitments.new_key()
        truth.save(update_fields=["commitment_key"])


class Migration(migrations.Migration):
    dependencies = [("challenge", "0011_ranks_step")]

    operations = [
        migrations.AddField(
            model_name="groundtruth",
            name="commitment_key",
            field=models.CharField(default="", editable=False, max_length=64),
            preserve_default=False,
        ),
        migrations.RunPython(give_keys, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="groundtruth",
            name="commitment_key",
            field=models.CharField(
                default=challenge.rules.commitments.new_key,
                editable=False,
                help_text="32 bytes in hexadecimal; published once the labels are not hidden",
                max_length=64,
            ),
        ),
    ]
