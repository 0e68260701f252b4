"""Push deliveries: one notification to one device, and what the provider said to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.utils.html import format_html

from deliveries import operations
from deliveries.console import finding, words
from deliveries.console.badges import status_badge
from deliveries.console.base import numbers
from deliveries.console.columns import NOTHING, brief, device, long, when_short
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
from deliveries.console.pushes import PushAdmin
from deliveries.console.samples import sample_badge
from deliveries.masking import conceal_text
from deliveries.models import ENDS, AuditEntry, Notification, PushDelivery, Status
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
class PushDeliveryAdmin(PushAdmin):
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
        "shown_id",
        "badge",
        "shown_user",
        "template",
        device,
        "tries",
        "error_code",
        when_short("created_at", "age"),
        "latency",
    )
    list_prefetch = ("notification",)
    exported: ClassVar[dict[str, Callable[[Any], object]]] = {
        "delivery": attrgetter("pk"),
        "notification_id": attrgetter("notification_id"),
        "status": attrgetter("status"),
        "error_code": attrgetter("error_code"),
        "reason": lambda row: conceal_text(row.error_message),
        "user_id": attrgetter("user_id"),
        "template_id": attrgetter("notification.template_id"),
        "platform": attrgetter("platform"),
        "device": device,
        "attempts": attrgetter("attempts"),
        "unknown": attrgetter("unknown_count"),
        "created_at": attrgetter("created_at"),
        "sent_at": attrgetter("sent_at"),
        "provider_message_id": attrgetter("provider_message_id"),
    }
    list_filter = (
        StatusFilter,
        TimeFilter,
        CodeFilter,
        DeliveryTemplateFilter,
        PlatformFilter,
        AttemptsFilter,
        UnknownFilter,
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

    @admin.display(description="tries")
    def tries(self, delivery: PushDelivery) -> str:
        unknown = f" and {delivery.unknown_count} unknown" if delivery.unknown_count else ""
        return f"{delivery.attempts}{unknown}"

    @admin.display(description="notification id")
    def shown_id(self, delivery: PushDelivery) -> str:
        return format_html("{} {}", long(delivery.notification_id), sample_badge(delivery))

    @admin.display(description="status")
    def badge(self, delivery: PushDelivery) -> str:
        return status_badge(delivery.status)

    @admin.display(description="user")
    def shown_user(self, delivery: PushDelivery) -> str:
        return long(delivery.user_id) if delivery.user_id else NOTHING

    @admin.display(description="template")
    def template(self, delivery: PushDelivery) -> str:
        template = delivery.notification.template_id
        return long(template) if template else NOTHING

    @admin.display(description="latency")
    def latency(self, delivery: PushDelivery) -> str:
        """From acceptance, or from the last resend, until FCM took it."""
        begin = delivery.notification.resent_at or delivery.notification.created_at
        if delivery.status != Status.SENT or delivery.sent_at is None or delivery.sent_at < begin:
            return NOTHING
        return brief((delivery.sent_at - begin).total_seconds())

    def push(self, row: PushDelivery) -> tuple[Notification, list[PushDelivery]]:
        return row.notification, [row]

    def standing_words(self, row: PushDelivery) -> tuple[str, str]:
        advice = words.advice(row.notification) if row.status not in ENDS else words.ADVICE.get(row.error_code, "")
        return words.cause_of_delivery(row), advice
