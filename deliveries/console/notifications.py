"""Notifications: found by id, user, correlation id or device; each told on one page, from cause to payload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Exists, OuterRef
from django.utils.html import format_html

from deliveries import operations
from deliveries.console import finding, words
from deliveries.console.badges import status_badge
from deliveries.console.base import LATEST
from deliveries.console.columns import NOTHING, brief, long, when_short
from deliveries.console.filters import CodeFilter, StatusFilter, TemplateFilter, TimeFilter
from deliveries.console.operating import Chosen, Operation
from deliveries.console.paging import Condition
from deliveries.console.push_deliveries import ACCEPTED_BEFORE, UNKNOWN
from deliveries.console.pushes import PushAdmin
from deliveries.console.samples import sample_badge
from deliveries.masking import conceal_text
from deliveries.models import ENDS, AuditEntry, Notification, PushDelivery, Status
from deliveries.operations import Outcome, Target, Who


def resend(chosen: Sequence[Chosen], who: Who, force: bool) -> list[Outcome]:
    return operations.resend([Target(row.key, seen=row.seen) for row in chosen], who, force=force)


def cancel(chosen: Sequence[Chosen], who: Who, _force: bool) -> list[Outcome]:
    return operations.cancel([row.key for row in chosen], who)


@admin.register(Notification)
class NotificationAdmin(PushAdmin):
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
        "badge",
        "shown_user",
        "template_id",
        "error_code",
        when_short("created_at", "accepted"),
        "took",
    )
    list_filter = (StatusFilter, TimeFilter, CodeFilter, TemplateFilter)
    exported: ClassVar[dict[str, Callable[[Any], object]]] = {
        "notification_id": attrgetter("pk"),
        "status": attrgetter("status"),
        "error_code": attrgetter("error_code"),
        "reason": lambda row: conceal_text(row.error_message),
        "user_id": attrgetter("user_id"),
        "template_id": attrgetter("template_id"),
        "correlation_id": attrgetter("correlation_id"),
        "accepted_at": attrgetter("created_at"),
        "ended_at": attrgetter("ended_at"),
        "reported_at": attrgetter("reported_at"),
    }

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

    @admin.display(description="status")
    def badge(self, notification: Notification) -> str:
        return status_badge(notification.status)

    @admin.display(description="user")
    def shown_user(self, notification: Notification) -> str:
        return long(notification.user_id) if notification.user_id else NOTHING

    def push(self, row: Notification) -> tuple[Notification, list[PushDelivery]]:
        return row, list(row.deliveries.order_by("id")[:LATEST])

    def standing_words(self, row: Notification) -> tuple[str, str]:
        return words.cause(row), words.advice(row)

    @admin.display(description="took")
    def took(self, notification: Notification) -> str:
        """From acceptance, or from the last resend, to its end."""
        if notification.ended_at is None:
            return NOTHING
        begin = notification.resent_at or notification.created_at
        return brief((notification.ended_at - begin).total_seconds())
