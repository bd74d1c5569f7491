from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("challenge", "0004_score_domain_mious")]

    operations = [
        migrations.AddField(
            model_name="groundtruth",
            name="labels_public",
            field=models.BooleanField(
                db_default=False, default=False, verbose_name="labels are public"
            ),
        ),
        migrations.AddField(
            model_name="phase",
            name="labels_public",
            field=models.BooleanField(
                db_default=False,
                default=False,
                editable=False,
                help_text="set by the challenge file; every figure is shown at any time",
                verbose_name="labels are public",
            ),
        ),
    ]
