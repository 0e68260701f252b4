"""Workers: the engines that run."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Worker(models.Model):
    """A running engine. One whose heartbeat is older than the lease has lost its rows."""

    id = models.UUIDField(primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField(db_default=Now())
    heartbeat_at = models.DateTimeField(db_default=Now())
    in_flight = models.IntegerField(db_default=0)
    threads_alive = models.SmallIntegerField(null=True, blank=True)
    threads_expected = models.SmallIntegerField(
        null=True, blank=True, help_text="without one of them it would end itself: see the watchdog"
    )
    breakers = models.JSONField(db_default={}, help_text="state of each circuit breaker, by upstream")

    class Meta:
        db_table = "workers"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
