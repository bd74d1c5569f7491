from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('challenge', '0036_own_recipes'),
    ]

    operations = [
        migrations.AddField(
            model_name='phase',
            name='lacks_full_values',
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
    ]
