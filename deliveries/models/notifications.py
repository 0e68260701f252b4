"""A notification, its deliveries to devices, and the attempts that did not succeed at once."""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now

from deliveries.models import samples
from deliveries.models.columns import moment
from deliveries.models.status import Status


class Notification(models.Model):
    """One push request, from its acceptance to its report."""

    notification_id = models.CharField(max_length=255, primary_key=True)
    user_id = models.CharField(max_length=255)
    template_id = models.CharField(max_length=255, null=True, blank=True)
    correlation_id = models.CharField(max_length=255)
    source = models.CharField(max_length=8, help_text="queue, api or redrive")
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
    crashes = models.SmallIntegerField(
        db_default=0, help_text="how often in a row its worker stopped without a word while it had it in work"
    )
    cancel_reason = models.TextField(
        db_default="", blank=True, help_text="who asked for its end and why; empty: nobody"
    )
    resends = models.IntegerField(db_default=0, help_text="how often an operator had it sent again")
    resent_at = moment()
    resolve_again = models.BooleanField(db_default=False, help_text="its devices and its text are to be fetched anew")

    worker_id = models.UUIDField(null=True, blank=True, help_text="the worker that has it in work")
    fence = models.IntegerField(db_default=0, help_text="counts claims; every write names the one it holds")
    accept_token = models.BigIntegerField(help_text="recognises our own insert when its answer was lost")
    next_attempt_at = moment("when it is due again; empty while in work and when done")
    expires_at = models.DateTimeField()

    created_at = models.DateTimeField(db_default=Now())
    resolved_at = moment()
    rendered_at = moment()
    ended_at = moment()
    updated_at = models.DateTimeField(db_default=Now())

    reported_at = moment("when the gateway accepted the final status")
    report_refused_at = moment("when the gateway refused it for good")
    report_attempts = models.IntegerField(db_default=0)
    report_error = models.TextField(db_default="", blank=True)
    reported_status = models.CharField(
        max_length=9,
        choices=Status,
        db_default="",
        blank=True,
        help_text="what the gateway knew before the last resend",
    )

    class Meta:
        db_table = "notifications"
        permissions = [
            ("operate", "may resend, cancel, redrive, discard, and pause sending"),
            ("force", "may send again what was sent already"),
            ("payload", "may see what a push says, with its secrets masked"),
            ("raw", "may see payloads and device tokens unmasked; each look is in the audit log"),
        ]
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
            # What may be the reason that workers stop: hardly ever a row.
            models.Index(fields=["-crashes"], name="notifications_suspect", condition=models.Q(crashes__gt=0)),
            # What the gateway refused to hear: counted and listed.
            models.Index(
                fields=["-report_refused_at"],
                name="notifications_unheard",
                condition=models.Q(report_refused_at__isnull=False),
            ),
            models.Index(fields=["-created_at"], name="notifications_newest"),
            # What ended in a minute, for the tallies. A few entries for thousands of rows, which still change in place.
            BrinIndex(fields=["ended_at"], name="notifications_ended", autosummarize=True, pages_per_range=32),
            models.Index(fields=["user_id", "-created_at"], name="notifications_of_user"),
            models.Index(fields=["correlation_id"], name="notifications_correlation"),
            # Without the sunny path, whose rows so change in place (HOT).
            models.Index(
                fields=["error_code", "-created_at"],
                name="notifications_troubled",
                condition=~models.Q(error_code=""),
            ),
            models.Index(fields=["-created_at"], name="notifications_in_trouble", condition=~models.Q(error_code="")),
        ]

    def __str__(self) -> str:
        return self.notification_id

    @property
    def is_sample(self) -> bool:
        """Made up by the demo."""
        return self.source == samples.SOURCE


class PushDelivery(models.Model):
    """One notification to one device."""

    id = models.BigAutoField(primary_key=True)
    # No index of its own: the unique constraint below begins with it.
    notification = models.ForeignKey(Notification, models.CASCADE, related_name="deliveries", db_index=False)
    user_id = models.CharField(max_length=255)
    device_token = models.TextField()
    target = models.CharField(
        max_length=12,
        db_default="token",
        help_text="what its device_token is: a token, a fid, a topic or a subscription",
    )
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
    forced_resends = models.IntegerField(
        db_default=0, help_text="how often it was sent again although it had been accepted before"
    )
    exhausted = models.BooleanField(db_default=False, help_text="failed because its attempts were used up")
    send_token = models.BigIntegerField(null=True, blank=True, help_text="names the send in progress")
    brake_round = models.BigIntegerField(null=True, blank=True, help_text="the brake on whose ramp it has a place")
    next_attempt_at = moment()

    created_at = models.DateTimeField(db_default=Now())
    sending_at = moment()
    sent_at = moment()
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "push_deliveries"
        verbose_name_plural = "push deliveries"
        constraints = [
            models.UniqueConstraint(fields=["notification", "device_token"], name="one_delivery_per_device"),
        ]
        indexes = [
            models.Index(fields=["-created_at"], name="deliveries_newest"),
            models.Index(fields=["user_id", "-created_at"], name="deliveries_of_user"),
            # As with notifications: none has an entry of the sunny path, whose rows change in place.
            models.Index(fields=["error_code", "-id"], name="deliveries_troubled", condition=~models.Q(error_code="")),
            models.Index(
                fields=["error_code", "-created_at"], name="deliveries_by_code", condition=~models.Q(error_code="")
            ),
            models.Index(fields=["-created_at"], name="deliveries_in_trouble", condition=~models.Q(error_code="")),
            models.Index(fields=["-created_at"], name="deliveries_unknown", condition=models.Q(unknown_count__gt=0)),
            models.Index(
                fields=["brake_round"], name="deliveries_braked", condition=models.Q(brake_round__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.notification_id} #{self.pk}"

    @property
    def is_sample(self) -> bool:
        """Made up by the demo."""
        return self.target != "topic" and self.device_token.startswith(samples.MARK)


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
