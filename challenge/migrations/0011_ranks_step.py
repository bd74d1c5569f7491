from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("challenge", "0010_look_alike_keys")]

    operations = [
        migrations.AddField(
            model_name="phase",
            name="ranks_step",
            field=models.FloatField(
                blank=True,
                editable=False,
                help_text="step of the mIoU in which ranks were made; empty: full precision",
                null=True,
            ),
        ),
    ]
