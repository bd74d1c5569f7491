from django.db import migrations

# Known comparisons are of the former method (a bootstrap's share of resamples): the sweep compares
# all neighbours anew.
FORGET = "UPDATE challenge_rankline SET lead_probability = NULL WHERE rank IS NOT NULL"


class Migration(migrations.Migration):
    dependencies = [("challenge", "0008_mailboxes")]

    operations = [migrations.RunSQL(FORGET, migrations.RunSQL.noop)]
