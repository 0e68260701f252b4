"""Indexes of the tokens that are held, of those that died lately, and of what waits for a brake; beside the traffic, as in 0005."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deliveries", "0007_brakes")]

    operations = [
        AddIndexConcurrently(
            model_name="deadtoken",
            index=models.Index(
                condition=models.Q(("held_at__isnull", False)), fields=["held_at"], name="dead_tokens_held"
            ),
        ),
        AddIndexConcurrently(
            model_name="deadtoken",
            index=models.Index(fields=["died_at"], name="dead_tokens_died"),
        ),
        AddIndexConcurrently(
            model_name="pushdelivery",
            index=models.Index(
                condition=models.Q(("brake_round__isnull", False)), fields=["brake_round"], name="deliveries_braked"
            ),
        ),
    ]
