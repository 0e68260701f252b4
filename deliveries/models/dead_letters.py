"""Dead letters: what could not be processed."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from deliveries.models import samples
from deliveries.models.columns import moment


class DeadLetter(models.Model):
    """What could not be processed: a message that is not valid, or a notification whose attempts are used up."""

    class State(models.TextChoices):
        OPEN = "open", "open"
        REDRIVEN = "redriven", "redriven"
        DISCARDED = "discarded", "discarded"

    id = models.BigAutoField(primary_key=True)
    body_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the whole body")
    body = models.BinaryField(help_text="the body, up to 64 KiB of it")
    size = models.IntegerField(help_text="bytes of the whole body")
    code = models.CharField(max_length=64, help_text="invalid_message or exhausted")
    reasons = models.JSONField(help_text="every reason at once, in plain words")
    notification_id = models.CharField(max_length=255, null=True, blank=True)
    correlation_id = models.CharField(max_length=255, db_default="", blank=True)
    state = models.CharField(max_length=9, choices=State, db_default=State.OPEN)
    redrive_at = moment("when it is redriven, as somebody has asked")
    redrive_by = models.CharField(max_length=255, db_default="", blank=True, help_text="who asked")
    redrive_reason = models.TextField(db_default="", blank=True, help_text="why")
    note = models.TextField(db_default="", blank=True, help_text="why it was redriven or discarded")
    count = models.IntegerField(db_default=1)
    first_seen_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())
    copy_due_at = moment("when a copy is owed to the failed queue")
    report_due_at = moment("when the gateway is owed word of it")
    reported_at = moment()
    report_attempts = models.IntegerField(db_default=0)
    report_error = models.TextField(db_default="", blank=True)

    class Meta:
        db_table = "dead_letters"
        indexes = [
            models.Index(
                fields=["report_due_at"],
                name="dead_letters_to_report",
                condition=models.Q(report_due_at__isnull=False),
            ),
            models.Index(fields=["notification_id"], name="dead_letters_notification"),
            models.Index(fields=["code", "id"], name="dead_letters_open", condition=models.Q(state="open")),
            models.Index(
                fields=["redrive_at"],
                name="dead_letters_to_redrive",
                condition=models.Q(redrive_at__isnull=False),
            ),
            models.Index(
                fields=["copy_due_at"],
                name="dead_letters_to_copy",
                condition=models.Q(copy_due_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.body_hash[:12]}"

    @property
    def is_sample(self) -> bool:
        """Made up by the demo."""
        return self.body_hash.startswith(samples.MARK)
