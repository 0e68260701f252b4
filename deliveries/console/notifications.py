"""Notifications: found by id, user or correlation id; each told on one page, from cause to history."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import admin
from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils.html import format_html

from deliveries import operations
from deliveries.console import finding, words
from deliveries.console.base import LedgerInline
from deliveries.console.brakes import HeldUpAdmin
from deliveries.console.columns import NOTHING, brief, device, indented, long, when, when_short
from deliveries.console.filters import CodeFilter, StatusFilter, TemplateFilter, TimeFilter
from deliveries.console.operating import Chosen, Operation
from deliveries.console.paging import Condition
from deliveries.console.push_deliveries import ACCEPTED_BEFORE, UNKNOWN
from deliveries.console.samples import sample_badge
from deliveries.models import ENDS, AuditEntry, Notification, PushAttempt, PushDelivery, Status
from deliveries.operations import Outcome, Target, Who


class DeliveriesInline(LedgerInline):
    """The devices of a notification."""

    model = PushDelivery
    verbose_name_plural = "deliveries, one for each device"
    empty_state = "None: nothing has been sent off."
    ordering = ("id",)
    fields = readonly_fields = (
        "to",
        "status",
        "error_code",
        "error_message",
        "attempts",
        "unknown_count",
        when_short("sending_at", "last sent off"),
        when_short("sent_at", "accepted by FCM"),
    )

    @admin.display(description="device")
    def to(self, delivery: PushDelivery) -> str:
        url = reverse("admin:deliveries_pushdelivery_change", args=[delivery.pk])
        return format_html('<a href="{}">{}</a>', url, device(delivery))


class HistoryInline(LedgerInline):
    """The attempts that did not succeed at once."""

    model = PushAttempt
    verbose_name_plural = "history: attempts that did not succeed at once, latest first"
    empty_state = "None: every step has succeeded at once."
    ordering = ("-id",)
    fields = readonly_fields = (
        when_short("created_at", "when"),
        "stage",
        "outcome",
        "error_code",
        "error_message",
        "http_status",
        "took",
        "next_try",
    )

    @admin.display(description="took")
    def took(self, attempt: PushAttempt) -> str:
        return NOTHING if attempt.duration_ms is None else brief(attempt.duration_ms / 1000)

    @admin.display(description="next try")
    def next_try(self, attempt: PushAttempt) -> str:
        return NOTHING if attempt.retry_after is None else f"after {brief(attempt.retry_after)}"


def resend(chosen: Sequence[Chosen], who: Who, force: bool) -> list[Outcome]:
    return operations.resend([Target(row.key, seen=row.seen) for row in chosen], who, force=force)


def cancel(chosen: Sequence[Chosen], who: Who, _force: bool) -> list[Outcome]:
    return operations.cancel([row.key for row in chosen], who)


@admin.register(Notification)
class NotificationAdmin(HeldUpAdmin):
    """The list of notifications, and the page of each."""

    operations = (
        Operation(
            AuditEntry.Action.RESEND,
            "Each that has ended is sent again, at once, to the devices that have not got it. The user's preferences "
            "and devices are looked up anew.",
            frozenset(ENDS),
            resend,
            sends=True,
            can_be_forced=True,
        ),
        Operation(
            AuditEntry.Action.CANCEL,
            "Each that has not ended yet ends before its next send. What is being sent at this moment is still sent.",
            frozenset(Status) - ENDS,
            cancel,
        ),
    )

    empty_state = (
        "No notification yet. `python manage.py apikey <name>` makes a key to POST one with to /api/v1/notifications/."
    )
    search_help_text = finding.HELP
    ordering = ("-created_at",)
    list_display = (
        "shown_id",
        "status",
        "error_code",
        "user_id",
        "template_id",
        when_short("created_at", "accepted"),
        "took",
    )
    list_filter = (StatusFilter, TimeFilter, CodeFilter, TemplateFilter)
    list_filter_submit = True
    inlines = (DeliveriesInline, HistoryInline)
    readonly_fields = ("cause", "next_step", "report", "priority", "guarantee", "message")
    fieldsets = (
        ("What happened", {"fields": ("status", "cause", "next_step", "error_code", "report")}),
        (
            "When",
            {
                "fields": (
                    when("created_at", "accepted"),
                    when("resolved_at", "user looked up"),
                    when("rendered_at"),
                    when("ended_at"),
                    when("reported_at", "gateway told"),
                    when("next_attempt_at", "due again"),
                    when("expires_at", "expires"),
                )
            },
        ),
        (
            "What was asked",
            {
                "fields": (
                    "notification_id",
                    "user_id",
                    "template_id",
                    "correlation_id",
                    "source",
                    "priority",
                    "guarantee",
                    "message",
                )
            },
        ),
    )

    def condition(self, term: str) -> Condition:
        return finding.notifications(term)

    def chosen(self, keys: Sequence[str]) -> list[Chosen]:
        own = PushDelivery.objects.filter(notification=OuterRef("pk"))
        rows = Notification.objects.annotate(
            accepted_before=Exists(own.filter(ACCEPTED_BEFORE)), unknown=Exists(own.filter(UNKNOWN))
        )
        return [
            Chosen(
                row.pk, row.pk, row.pk, row.status, row.error_code, row.accepted_before, row.unknown, seen=row.resends
            )
            for row in rows.filter(pk__in=keys).order_by("-created_at")
        ]

    @admin.display(description="notification id")
    def shown_id(self, notification: Notification) -> str:
        return format_html("{} {}", long(notification.pk), sample_badge(notification))

    @admin.display(description="cause")
    def cause(self, notification: Notification) -> str:
        return words.cause(notification)

    @admin.display(description="what to do", empty_value=NOTHING)
    def next_step(self, notification: Notification) -> str:
        return words.advice(notification) or NOTHING

    @admin.display(description="gateway")
    def report(self, notification: Notification) -> str:
        return words.report(notification)

    @admin.display(description="priority")
    def priority(self, notification: Notification) -> str:
        return "high" if notification.high_priority else "normal"

    @admin.display(description="guarantee")
    def guarantee(self, notification: Notification) -> str:
        return "at most once" if notification.at_most_once else "at least once"

    @admin.display(description="request")
    def message(self, notification: Notification) -> str:
        return indented(notification.request)

    @admin.display(description="took")
    def took(self, notification: Notification) -> str:
        """From acceptance, or from the last resend, to its end."""
        if notification.ended_at is None:
            return NOTHING
        begin = notification.resent_at or notification.created_at
        return brief((notification.ended_at - begin).total_seconds())
