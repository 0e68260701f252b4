"""Counts crashes, and indexes what is suspected of them; beside the traffic, as in 0005."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deliveries", "0005_indexes")]

    operations = [
        migrations.AddField(
            model_name="notification",
            name="crashes",
            field=models.SmallIntegerField(
                db_default=0,
                help_text="how often in a row its worker stopped without a word while it had it in work",
            ),
        ),
        AddIndexConcurrently(
            model_name="notification",
            index=models.Index(
                condition=models.Q(("crashes__gt", 0)), fields=["-crashes"], name="notifications_suspect"
            ),
        ),
        AddIndexConcurrently(
            model_name="notification",
            index=models.Index(
                condition=models.Q(("report_refused_at__isnull", False)),
                fields=["-report_refused_at"],
                name="notifications_unheard",
            ),
        ),
    ]
