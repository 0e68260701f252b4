"""Push deliveries: one notification to one device, and what the provider said to it."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.utils.html import format_html

from deliveries import operations
from deliveries.console import finding
from deliveries.console.base import numbers
from deliveries.console.brakes import HeldUpAdmin
from deliveries.console.columns import device, indented, long, when, when_short
from deliveries.console.filters import (
    AttemptsFilter,
    CodeFilter,
    DeliveryTemplateFilter,
    PlatformFilter,
    StatusFilter,
    TimeFilter,
    UnknownFilter,
)
from deliveries.console.operating import Chosen, Operation
from deliveries.console.paging import Condition
from deliveries.console.samples import sample_badge
from deliveries.masking import conceal_text
from deliveries.models import ENDS, AuditEntry, PushDelivery, Status
from deliveries.operations import Outcome, Target, Who

#: Deliveries that a provider has accepted once: only force sends them again.
ACCEPTED_BEFORE = Q(status=Status.SENT) | Q(forced_resends__gt=0)
#: Deliveries that may have arrived: nobody knows what became of a send, and none has been accepted since.
UNKNOWN = Q(unknown_count__gt=0) & ~Q(status=Status.SENT)


def _is(condition: Q) -> ExpressionWrapper[Q]:
    return ExpressionWrapper(condition, output_field=BooleanField())


def resend(chosen: Sequence[Chosen], who: Who, force: bool) -> list[Outcome]:
    targets = [Target(row.notification_id, (int(row.key),), row.seen) for row in chosen]
    return operations.resend(targets, who, force=force)


@admin.register(PushDelivery)
class PushDeliveryAdmin(HeldUpAdmin):
    """The list of deliveries, and the page of each. No page shows a whole device token."""

    operations = (
        Operation(
            AuditEntry.Action.RESEND,
            "Each whose notification has ended is sent again, at once, to this device alone.",
            frozenset(ENDS),
            resend,
            sends=True,
            can_be_forced=True,
        ),
    )

    empty_state = "No delivery yet: the first one is written when a notification is sent."
    search_help_text = finding.HELP
    ordering = ("-created_at",)
    list_display = (
        "id",
        "of",
        "status",
        "error_code",
        "user_id",
        device,
        "tries",
        when_short("sent_at"),
    )
    list_filter = (
        StatusFilter,
        TimeFilter,
        CodeFilter,
        DeliveryTemplateFilter,
        PlatformFilter,
        AttemptsFilter,
        UnknownFilter,
    )
    list_filter_submit = True
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

    def condition(self, term: str) -> Condition:
        return finding.deliveries(term)

    def subject(self, row: PushDelivery) -> str:
        return row.notification_id

    def chosen(self, keys: Sequence[str]) -> list[Chosen]:
        rows = PushDelivery.objects.annotate(accepted_before=_is(ACCEPTED_BEFORE), unknown=_is(UNKNOWN))
        return [
            Chosen(
                str(row.pk),
                f"{row.notification_id} to {device(row)}",
                row.notification_id,
                row.status,
                row.error_code,
                row.accepted_before,
                row.unknown,
                seen=row.notification.resends,
            )
            for row in rows.filter(pk__in=numbers(keys)).select_related("notification").order_by("-created_at")
        ]

    @admin.display(description="notification id")
    def of(self, delivery: PushDelivery) -> str:
        return format_html("{} {}", long(delivery.notification_id), sample_badge(delivery))

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
