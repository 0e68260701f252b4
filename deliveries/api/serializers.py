"""What the API tells about a notification. Device tokens are masked."""

from __future__ import annotations

from rest_framework import serializers

from deliveries.masking import fingerprint, mask
from deliveries.models import Notification, PushAttempt, PushDelivery


class DeliverySerializer(serializers.ModelSerializer[PushDelivery]):
    """One device's share of a notification."""

    device_token = serializers.SerializerMethodField()
    device_fingerprint = serializers.SerializerMethodField()

    class Meta:
        model = PushDelivery
        fields = (
            "id",
            "device_token",
            "device_fingerprint",
            "platform",
            "status",
            "provider",
            "provider_message_id",
            "error_code",
            "error_message",
            "attempts",
            "unknown_count",
            "next_attempt_at",
            "created_at",
            "sending_at",
            "sent_at",
            "updated_at",
        )

    def get_device_token(self, delivery: PushDelivery) -> str:
        return mask(delivery.device_token)

    def get_device_fingerprint(self, delivery: PushDelivery) -> str:
        return fingerprint(delivery.device_token)


class AttemptSerializer(serializers.ModelSerializer[PushAttempt]):
    """One attempt that did not succeed at once. `retry_after` is in seconds."""

    class Meta:
        model = PushAttempt
        fields = (
            "stage",
            "delivery_id",
            "outcome",
            "error_code",
            "error_message",
            "http_status",
            "retry_after",
            "duration_ms",
            "created_at",
        )


class ReportSerializer(serializers.ModelSerializer[Notification]):
    """What the gateway has been told of a notification's end."""

    refused_at = serializers.DateTimeField(source="report_refused_at")
    attempts = serializers.IntegerField(source="report_attempts")
    error = serializers.CharField(source="report_error")

    class Meta:
        model = Notification
        fields = ("reported_at", "refused_at", "attempts", "error")


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    """A notification with its deliveries, its report and its history."""

    report = ReportSerializer(source="*")
    deliveries = DeliverySerializer(many=True)
    history = AttemptSerializer(source="latest", many=True, help_text="latest first, 100 at most")

    class Meta:
        model = Notification
        fields = (
            "notification_id",
            "user_id",
            "template_id",
            "correlation_id",
            "source",
            "high_priority",
            "status",
            "error_code",
            "error_message",
            "attempts",
            "next_attempt_at",
            "expires_at",
            "created_at",
            "resolved_at",
            "rendered_at",
            "ended_at",
            "updated_at",
            "report",
            "deliveries",
            "history",
        )
