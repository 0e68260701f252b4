"""Dead tokens: registrations that a provider called gone for good, or another project's."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from deliveries.models.columns import moment


class DeadToken(models.Model):
    """A device token that is dead or quarantined, and what the user service has been told of it."""

    class Fate(models.TextChoices):
        DEAD = "dead", "dead: gone for good"
        QUARANTINED = "quarantined", "quarantined: another project's, perhaps"

    id = models.BigAutoField(primary_key=True)
    token_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token, in hexadecimal digits")
    device_token = models.TextField()
    user_id = models.CharField(max_length=255)
    platform = models.CharField(max_length=32, db_default="", blank=True)
    provider = models.CharField(max_length=32)
    error_code = models.CharField(max_length=64)
    fate = models.CharField(max_length=11, choices=Fate, db_default=Fate.DEAD)
    remembered_until = moment("until when it is not tried again")
    held_at = moment("when too many tokens died at once for this to be believed: it is tried, and nobody is told")
    notification_id = models.CharField(max_length=255, help_text="the notification whose send found it out")
    correlation_id = models.CharField(max_length=255)
    died_at = models.DateTimeField(db_default=Now(), help_text="when the provider said so last")
    report_due_at = moment("when the user service is owed word of it")
    reported_at = moment()
    report_refused_at = moment("when the user service refused it for good")
    report_attempts = models.IntegerField(db_default=0)
    report_error = models.TextField(db_default="", blank=True)

    class Meta:
        db_table = "dead_tokens"
        indexes = [
            models.Index(
                fields=["report_due_at"], name="dead_tokens_to_report", condition=models.Q(report_due_at__isnull=False)
            ),
            models.Index(fields=["held_at"], name="dead_tokens_held", condition=models.Q(held_at__isnull=False)),
            models.Index(fields=["died_at"], name="dead_tokens_died"),
        ]

    def __str__(self) -> str:
        return f"{self.error_code} {self.token_hash[:8]}"
