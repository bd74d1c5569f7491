import secrets

from django.db import migrations, models

import challenge.models.challenges
from challenge.rules import rounding


def fill(apps, schema_editor):
    """Give each ground truth its key and steps, each score its rounded values.

    Steps come from the true pixels in any score card of the labels; labels without a score get
    theirs with the first one.
    """
    truths = apps.get_model("challenge", "GroundTruth").objects.defer("patches")
    scores = apps.get_model("challenge", "Score").objects
    phases = apps.get_model("challenge", "Phase").objects
    for truth in truths.iterator():
        truth.rounding_key = secrets.token_hex(32)
        key, steps = bytes.fromhex(truth.rounding_key), None
        mine = scores.filter(evaluation__ground_truth=truth).order_by("-evaluation__task_spec", "pk")
        for score in mine.iterator(chunk_size=50):
            lines = score.card.get("classes") or []
            if not all("truth_pixels" in line and "key" in line for line in lines) or not lines:
                continue
            if steps is None:
                steps = rounding.steps_for(
                    [line["truth_pixels"] for line in lines],
                    scored=[line["id"] for line in lines if line.get("scored", True)],
                )
                truth.steps = steps.to_json()
            score.rounded = rounding.rounded_values(score.card, steps=steps, key=key)
            score.rounded_miou = score.rounded["miou"]
            score.save(update_fields=["rounded", "rounded_miou"])
        truth.save(update_fields=["rounding_key", "steps"])
        phases.filter(ground_truth=truth).update(miou_step=truth.steps.get("miou"))


class Migration(migrations.Migration):
    dependencies = [("challenge", "0006_outgoing_mail")]

    operations = [
        migrations.AddField(
            model_name="groundtruth",
            name="rounding_key",
            field=models.CharField(
                default=challenge.models.challenges.new_rounding_key,
                editable=False,
                max_length=64,
            ),
        ),
        migrations.AddField(
            model_name="groundtruth",
            name="steps",
            field=models.JSONField(blank=True, default=dict, editable=False),
        ),
        migrations.AddField(
            model_name="phase",
            name="miou_step",
            field=models.FloatField(
                blank=True, editable=False, help_text="of the labels, while they are hidden", null=True
            ),
        ),
        migrations.AddField(
            model_name="score", name="rounded", field=models.JSONField(default=dict)
        ),
        migrations.AddField(
            model_name="score", name="rounded_miou", field=models.FloatField(null=True)
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
