"""Tallies: how many notifications ended how, minute by minute, for the dashboard."""

from __future__ import annotations

from django.db import models


class Tally(models.Model):
    """How often something happened in one minute or one hour. Made from the ledger, and never the other way round."""

    class Span(models.IntegerChoices):
        MINUTE = 60, "a minute"
        HOUR = 3600, "an hour"

    class Kind(models.TextChoices):
        ENDED = "ended", "notifications that ended, by status"
        DEVICE = "device", "their deliveries, by status"
        CODE = "code", "error codes of deliveries, and of notifications without any"
        LATENCY = "latency", "accepted deliveries, by the class of the seconds since acceptance"

    pk = models.CompositePrimaryKey("span", "begins_at", "kind", "name", "is_sample")
    span = models.SmallIntegerField(choices=Span, help_text="seconds")
    begins_at = models.DateTimeField()
    kind = models.CharField(max_length=8, choices=Kind)
    name = models.CharField(max_length=64)
    is_sample = models.BooleanField(db_default=False, help_text="made up by the demo")
    count = models.BigIntegerField()

    class Meta:
        db_table = "tallies"
        verbose_name_plural = "tallies"

    def __str__(self) -> str:
        return f"{self.begins_at:%Y-%m-%d %H:%M} {self.kind} {self.name}: {self.count}"
