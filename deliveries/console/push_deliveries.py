"""Push deliveries: one notification to one device, and what the provider said to it."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q

from deliveries.console.base import LedgerAdmin
from deliveries.console.columns import device, indented, when, when_short
from deliveries.masking import conceal_text
from deliveries.models import Notification, PushDelivery

#: A correlation id is shared by few notifications; more than these are not looked through.
MOST_CORRELATED = 1000


@admin.register(PushDelivery)
class PushDeliveryAdmin(LedgerAdmin):
    """The list of deliveries, and the page of each. No page shows a whole device token."""

    empty_state = "No delivery yet: the first one is written when a notification is sent."
    search_help_text = "A whole notification id, user id or correlation id."
    ordering = ("-created_at",)
    list_display = (
        "id",
        "notification_id",
        "status",
        "error_code",
        "user_id",
        device,
        "tries",
        when_short("sent_at"),
    )
    list_filter = ("status",)
    readonly_fields = ("shown_body", "shown_data")
    fieldsets = (
        (
            "What happened",
            {
                "fields": (
                    "notification",
                    "status",
                    "error_code",
                    "error_message",
                    "attempts",
                    "unknown_count",
                )
            },
        ),
        (
            "When",
            {
                "fields": (
                    when("created_at"),
                    when("sending_at", "last sent off"),
                    when("sent_at", "accepted by FCM"),
                    when("next_attempt_at", "due again"),
                )
            },
        ),
        ("To whom", {"fields": ("user_id", device, "platform", "provider", "provider_message_id")}),
        ("What it says", {"fields": ("title", "shown_body", "shown_data")}),
    )

    def matching(self, term: str) -> Q:
        """Found in two steps: an OR across two tables would use no index."""
        correlated = Notification.objects.filter(correlation_id=term).values_list("pk", flat=True)
        ids = [term, *correlated[:MOST_CORRELATED]]
        return Q(notification_id__in=ids) | Q(user_id=term)

    @admin.display(description="tries")
    def tries(self, delivery: PushDelivery) -> str:
        unknown = f" and {delivery.unknown_count} unknown" if delivery.unknown_count else ""
        return f"{delivery.attempts}{unknown}"

    @admin.display(description="body")
    def shown_body(self, delivery: PushDelivery) -> str:
        return conceal_text(delivery.body)

    @admin.display(description="data")
    def shown_data(self, delivery: PushDelivery) -> str:
        return indented(delivery.data)
