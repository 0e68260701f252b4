"""Brakes: what must not be sent for a while, because a provider asked for a pause or does not let us in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

#: Until when a pause lasts that a person ends.
UNTIL_RESUMED = datetime(3000, 1, 1, tzinfo=UTC)


class Brake(models.Model):
    """One pause, for all processes to see. After `until` sends climb back to `pace` in a minute (`deliveries.ramp`)."""

    class Scope(models.TextChoices):
        PROJECT = "project", "project: everything that this provider sends"
        DEVICE = "device", "device: pushes to one device"
        TOPIC = "topic", "topic: pushes to one topic"
        PROCESS = "process", "process: everything that one worker process sends"
        OPERATOR = "operator", "operator: everything that this provider sends, until a person resumes it"

    id = models.BigAutoField(primary_key=True)
    key = models.CharField(max_length=128, unique=True, help_text="what it holds for, as sends look for it")
    scope = models.CharField(max_length=8, choices=Scope)
    subject = models.TextField(help_text="what it holds for, for people: no whole token")
    provider = models.CharField(max_length=32)
    code = models.CharField(max_length=64, help_text="the provider's own word for it")
    advice = models.TextField(help_text="what happened and what to do, in plain words")
    notification_id = models.CharField(max_length=255, help_text="whose send met it first")
    set_at = models.DateTimeField(db_default=Now())
    until = models.DateTimeField(help_text="nothing is sent before")
    round = models.BigIntegerField(help_text="names this pause; whoever has a place in it may pass when its time comes")
    earlier_rounds = ArrayField(
        models.BigIntegerField(), db_default=[], help_text="pauses of before, in which some may still have places"
    )
    lifted = models.BooleanField(
        db_default=False, help_text="whoever has a place in an earlier round is being woken up"
    )
    taken = models.FloatField(db_default=0.0, help_text="seconds after `until` up to which places are given away")
    taken_urgent = models.FloatField(db_default=0.0, help_text="the same on the lane of high priority")
    pace = models.FloatField(help_text="sends per second that it climbs to in a minute; halved by a pause on the ramp")
    full_pace = models.FloatField(help_text="sends per second that it climbs to at last")

    class Meta:
        db_table = "brakes"
        indexes = [models.Index(fields=["lifted"], name="brakes_lifted", condition=models.Q(lifted=True))]

    def __str__(self) -> str:
        return f"{self.scope} {self.subject}: {self.code}"

    @property
    def awaits_a_person(self) -> bool:
        """Whether it ends only when somebody resumes."""
        return self.until >= UNTIL_RESUMED

    @property
    def last_turn(self) -> datetime:
        """When the last that waits has its turn."""
        return self.until + timedelta(seconds=max(self.taken, self.taken_urgent))
