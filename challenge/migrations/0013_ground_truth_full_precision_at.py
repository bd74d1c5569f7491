from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("challenge", "0012_ground_truth_commitment_key")]

    operations = [
        migrations.AddField(
            model_name="groundtruth",
            name="full_precision_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="when values of these labels first could leave in full precision",
                null=True,
            ),
        ),
    ]
