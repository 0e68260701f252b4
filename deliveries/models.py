"""The ledger's tables: what we know about every notification, delivery, attempt, dead letter and worker.

The rows are the only truth about a notification. Only `deliveries.ledger` writes `status`; everything else reads.
"""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models.functions import Now


class Status(models.TextChoices):
    """One set of words for notifications and for their deliveries; the picture is docs/state-machine.md."""

    PENDING = "pending", "pending"
    SENDING = "sending", "sending"
    SENT = "sent", "sent"
    FAILED = "failed", "failed"
    SKIPPED = "skipped", "skipped"
    EXPIRED = "expired", "expired"
    CANCELLED = "cancelled", "cancelled"


#: Every legal change of status. An end is an end: nothing leads out of it.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(Status) - {Status.PENDING},
    Status.SENDING: frozenset(Status) - {Status.SENDING, Status.SKIPPED},
    Status.SENT: frozenset(),
    Status.FAILED: frozenset(),
    Status.SKIPPED: frozenset(),
    Status.EXPIRED: frozenset(),
    Status.CANCELLED: frozenset(),
}

ENDS: frozenset[Status] = frozenset(status for status, exits in TRANSITIONS.items() if not exits)


def _moment(help_text: str = "") -> models.DateTimeField[datetime | None, datetime | None]:
    """A time that is not there until it has come."""
    return models.DateTimeField(null=True, blank=True, help_text=help_text)


class Notification(models.Model):
    """One push request, from its acceptance to its report."""

    notification_id = models.CharField(max_length=255, primary_key=True)
    user_id = models.CharField(max_length=255)
    template_id = models.CharField(max_length=255, null=True, blank=True)
    correlation_id = models.CharField(max_length=255)
    source = models.CharField(max_length=8, help_text="queue or api")
    request = models.JSONField(help_text="the whole accepted message, as deliveries.contract writes it")
    high_priority = models.BooleanField(db_default=False)
    at_most_once = models.BooleanField(
        db_default=False,
        help_text="after an unknown outcome: end as failed instead of sending again",
    )

    status = models.CharField(max_length=9, choices=Status, db_default=Status.PENDING)
    error_code = models.CharField(max_length=64, db_default="", blank=True)
    error_message = models.TextField(db_default="", blank=True)
    attempts = models.IntegerField(db_default=0, help_text="failed lookups and renderings so far")

    worker_id = models.UUIDField(null=True, blank=True, help_text="the worker that has it in work")
    fence = models.IntegerField(db_default=0, help_text="counts claims; every write names the one it holds")
    accept_token = models.BigIntegerField(help_text="recognises our own insert when its answer was lost")
    next_attempt_at = _moment("when it is due again; empty while in work and when done")
    expires_at = models.DateTimeField()

    created_at = models.DateTimeField(db_default=Now())
    resolved_at = _moment()
    rendered_at = _moment()
    ended_at = _moment()
    updated_at = models.DateTimeField(db_default=Now())

    reported_at = _moment("when the gateway accepted the final status")
    report_refused_at = _moment("when the gateway refused it for good")
    report_attempts = models.IntegerField(db_default=0)
    report_error = models.TextField(db_default="", blank=True)

    class Meta:
        db_table = "notifications"
        indexes = [
            models.Index(
                fields=["high_priority", "next_attempt_at"],
                name="notifications_due",
                condition=models.Q(worker_id=None, next_attempt_at__isnull=False),
            ),
            models.Index(
                fields=["worker_id"],
                name="notifications_in_work",
                condition=models.Q(worker_id__isnull=False),
            ),
            models.Index(fields=["-created_at"], name="notifications_newest"),
            models.Index(fields=["user_id"], name="notifications_user"),
            models.Index(fields=["correlation_id"], name="notifications_correlation"),
        ]

    def __str__(self) -> str:
        return self.notification_id


class PushDelivery(models.Model):
    """One notification to one device."""

    id = models.BigAutoField(primary_key=True)
    # No index of its own: the unique constraint below begins with it.
    notification = models.ForeignKey(Notification, models.CASCADE, related_name="deliveries", db_index=False)
    user_id = models.CharField(max_length=255)
    device_token = models.TextField()
    platform = models.CharField(max_length=32, db_default="", blank=True)
    title = models.TextField(db_default="", blank=True)
    body = models.TextField(db_default="", blank=True)
    data = models.JSONField(db_default={})

    status = models.CharField(max_length=9, choices=Status, db_default=Status.PENDING)
    provider = models.CharField(max_length=32)
    provider_message_id = models.TextField(db_default="", blank=True, help_text="FCM's whole name of the message")
    error_code = models.CharField(max_length=64, db_default="", blank=True, help_text="FCM's own word")
    error_message = models.TextField(db_default="", blank=True)
    attempts = models.IntegerField(db_default=0, help_text="answered sends that counted")
    unknown_count = models.IntegerField(
        db_default=0, help_text="sends whose outcome nobody knows: each may have reached the device"
    )
    exhausted = models.BooleanField(db_default=False, help_text="failed because its attempts were used up")
    send_token = models.BigIntegerField(null=True, blank=True, help_text="names the send in progress")
    next_attempt_at = _moment()

    created_at = models.DateTimeField(db_default=Now())
    sending_at = _moment()
    sent_at = _moment()
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "push_deliveries"
        verbose_name_plural = "push deliveries"
        constraints = [
            models.UniqueConstraint(fields=["notification", "device_token"], name="one_delivery_per_device"),
        ]
        indexes = [
            models.Index(fields=["-created_at"], name="deliveries_newest"),
            models.Index(fields=["user_id"], name="deliveries_user"),
        ]

    def __str__(self) -> str:
        return f"{self.notification_id} #{self.pk}"


class PushAttempt(models.Model):
    """An attempt that did not succeed at once; the sunny path writes none."""

    id = models.BigAutoField(primary_key=True)
    notification = models.ForeignKey(Notification, models.CASCADE, related_name="history")
    delivery = models.ForeignKey(PushDelivery, models.CASCADE, null=True, blank=True, related_name="history")
    stage = models.CharField(max_length=16, help_text="resolve, render, send, report or worker")
    outcome = models.CharField(max_length=16, help_text="failed, retry, waiting or unknown")
    error_code = models.CharField(max_length=64)
    error_message = models.TextField(db_default="", blank=True)
    http_status = models.IntegerField(null=True, blank=True)
    retry_after = models.FloatField(null=True, blank=True, help_text="seconds until the next attempt")
    duration_ms = models.FloatField(null=True, blank=True)
    token = models.BigIntegerField(unique=True, null=True, editable=False, help_text="recognises our own insert")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "push_attempts"

    def __str__(self) -> str:
        return f"{self.notification_id} {self.stage} {self.error_code}"


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
    count = models.IntegerField(db_default=1)
    first_seen_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())
    copy_due_at = _moment("when a copy is owed to the failed queue")
    report_due_at = _moment("when the gateway is owed word of it")
    reported_at = _moment()
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
            models.Index(
                fields=["copy_due_at"],
                name="dead_letters_to_copy",
                condition=models.Q(copy_due_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.body_hash[:12]}"


class Worker(models.Model):
    """A running engine. One whose heartbeat is older than the lease has lost its rows."""

    id = models.UUIDField(primary_key=True)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField(db_default=Now())
    heartbeat_at = models.DateTimeField(db_default=Now())
    in_flight = models.IntegerField(db_default=0)
    breakers = models.JSONField(db_default={}, help_text="state of each circuit breaker, by upstream")

    class Meta:
        db_table = "workers"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class ApiKey(models.Model):
    """Who may call the API. Only the hash is kept."""

    name = models.CharField(max_length=100, unique=True)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = _moment()

    class Meta:
        db_table = "api_keys"
        verbose_name = "API key"

    def __str__(self) -> str:
        return self.name
