"""Indexes of what the lists are narrowed by, in their order; beside the traffic, as in 0005.

None is of a column that changes on the sunny path: its rows still change in place (HOT).
"""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deliveries", "0010_console_indexes")]

    operations = [
        AddIndexConcurrently(
            model_name="notification",
            index=models.Index(fields=["user_id", "-created_at"], name="notifications_of_user"),
        ),
        RemoveIndexConcurrently(model_name="notification", name="notifications_user"),
        AddIndexConcurrently(
            model_name="notification",
            index=models.Index(
                fields=["-created_at"],
                name="notifications_in_trouble",
                condition=models.Q(("error_code", ""), _negated=True),
            ),
        ),
        AddIndexConcurrently(
            model_name="pushdelivery",
            index=models.Index(fields=["user_id", "-created_at"], name="deliveries_of_user"),
        ),
        RemoveIndexConcurrently(model_name="pushdelivery", name="deliveries_user"),
        AddIndexConcurrently(
            model_name="pushdelivery",
            index=models.Index(
                fields=["-created_at"],
                name="deliveries_in_trouble",
                condition=models.Q(("error_code", ""), _negated=True),
            ),
        ),
        AddIndexConcurrently(
            model_name="pushdelivery",
            index=models.Index(
                fields=["error_code", "-created_at"],
                name="deliveries_by_code",
                condition=models.Q(("error_code", ""), _negated=True),
            ),
        ),
        AddIndexConcurrently(
            model_name="pushdelivery",
            index=models.Index(
                fields=["-created_at"], name="deliveries_unknown", condition=models.Q(("unknown_count__gt", 0))
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="action",
            field=models.CharField(
                choices=[
                    ("resend", "resend"),
                    ("cancel", "cancel"),
                    ("redrive", "redrive"),
                    ("discard", "discard"),
                    ("forget", "forget"),
                    ("believe", "believe"),
                    ("lift", "lift"),
                    ("look", "look at it raw"),
                    ("export", "export"),
                    ("key made", "key made"),
                    ("key revoked", "key revoked"),
                ],
                max_length=16,
            ),
        ),
    ]
