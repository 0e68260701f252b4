"""Indexes of what the console looks for; beside the traffic, as in 0005."""

from django.contrib.postgres.indexes import BrinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deliveries", "0009_console")]

    operations = [
        AddIndexConcurrently(
            model_name='deadletter',
            index=models.Index(condition=models.Q(('redrive_at__isnull', False)), fields=['redrive_at'], name='dead_letters_to_redrive'),
        ),
        AddIndexConcurrently(
            model_name='notification',
            index=BrinIndex(autosummarize=True, fields=['ended_at'], name='notifications_ended', pages_per_range=32),
        ),
    ]
