"""What the API tells about notifications and deliveries. Device tokens are masked."""

from __future__ import annotations

from typing import TypedDict

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from deliveries.api import links
from deliveries.masking import fingerprint, mask
from deliveries.models import AuditEntry, Notification, PushAttempt, PushDelivery

#: Of a history that grew for days, this many of its latest lines are shown.
HISTORY_SHOWN = 100

#: What is done to a notification, among all that the audit log tells of.
OPERATIONS = (AuditEntry.Action.RESEND, AuditEntry.Action.CANCEL)


class DeliveryLinks(TypedDict):
    """Where a delivery and its notification are."""

    self: str
    notification: str


class DeliverySerializer(serializers.ModelSerializer[PushDelivery]):
    """One device's share of a notification."""

    device_token = serializers.SerializerMethodField(
        help_text="its first and last characters; the name of a topic whole, which is no secret"
    )
    device_fingerprint = serializers.SerializerMethodField(help_text="the same for the same token")
    links = serializers.SerializerMethodField()

    class Meta:
        model = PushDelivery
        fields: tuple[str, ...] = (
            "id",
            "notification_id",
            "user_id",
            "device_token",
            "target",
            "device_fingerprint",
            "platform",
            "status",
            "provider",
            "provider_message_id",
            "error_code",
            "error_message",
            "attempts",
            "unknown_count",
            "forced_resends",
            "next_attempt_at",
            "created_at",
            "sending_at",
            "sent_at",
            "updated_at",
            "links",
        )
        read_only_fields = fields

    def get_device_token(self, delivery: PushDelivery) -> str:
        return delivery.device_token if delivery.target == "topic" else mask(delivery.device_token)

    def get_device_fingerprint(self, delivery: PushDelivery) -> str:
        return fingerprint(delivery.device_token)

    def get_links(self, delivery: PushDelivery) -> DeliveryLinks:
        request = self.context["request"]
        return {
            "self": reverse("delivery", kwargs={"id": delivery.pk}, request=request),
            "notification": links.notification(request, delivery.notification_id),
        }


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
        read_only_fields = fields


class DeliveryWithHistorySerializer(DeliverySerializer):
    """The same with its history."""

    history = AttemptSerializer(source="latest", many=True, read_only=True, help_text="latest first, 100 at most")

    class Meta(DeliverySerializer.Meta):
        fields = (*DeliverySerializer.Meta.fields, "history")


class ReportSerializer(serializers.ModelSerializer[Notification]):
    """What the gateway has been told of a notification's end."""

    refused_at = serializers.DateTimeField(source="report_refused_at", read_only=True, allow_null=True)
    attempts = serializers.IntegerField(source="report_attempts", read_only=True)
    error = serializers.CharField(source="report_error", read_only=True)

    class Meta:
        model = Notification
        fields = ("reported_at", "refused_at", "attempts", "error")
        read_only_fields = fields


class ActionSerializer(serializers.ModelSerializer[AuditEntry]):
    """What somebody did to a notification."""

    class Meta:
        model = AuditEntry
        fields = ("at", "actor", "action", "reason")
        read_only_fields = fields


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    """A notification with its deliveries, its report, its history and what was done to it."""

    report = ReportSerializer(source="*", read_only=True)
    deliveries = DeliverySerializer(many=True, read_only=True)
    history = AttemptSerializer(source="latest", many=True, read_only=True, help_text="latest first, 100 at most")
    actions = serializers.SerializerMethodField(help_text="latest first, 100 at most")

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
            "resends",
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
            "actions",
        )
        read_only_fields = fields

    @extend_schema_field(ActionSerializer(many=True))
    def get_actions(self, notification: Notification) -> list[dict[str, object]]:
        entries = AuditEntry.objects.filter(subject=notification.pk, action__in=OPERATIONS).order_by("-id")
        return [*ActionSerializer(entries[:HISTORY_SHOWN], many=True).data]
