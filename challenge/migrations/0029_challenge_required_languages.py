from django.db import migrations, models

import challenge.models.challenges


class Migration(migrations.Migration):

    dependencies = [
        ('challenge', '0028_pixel_comparisons'),
    ]

    operations = [
        migrations.AddField(
            model_name='challenge',
            name='required_languages',
            field=models.JSONField(default=challenge.models.challenges.every_language, help_text='in which every page and text of the challenge must be written', verbose_name='required languages'),
        ),
    ]
