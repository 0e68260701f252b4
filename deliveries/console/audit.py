"""The audit log: who did what to which notification, dead letter or key, when and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import TextFilter

from deliveries.console.badges import BUSY, GOOD, QUIET, WARNING, Look, badge
from deliveries.console.base import LATEST, LedgerAdmin
from deliveries.console.columns import NOTHING, long, when, when_short
from deliveries.masking import conceal, conceal_text
from deliveries.models import AuditEntry

PLAIN = Look("default", "edit_note")
LOOKS = {
    AuditEntry.Action.RESEND: BUSY,
    AuditEntry.Action.REDRIVE: BUSY,
    AuditEntry.Action.CANCEL: QUIET,
    AuditEntry.Action.DISCARD: QUIET,
    AuditEntry.Action.STOP: QUIET,
    AuditEntry.Action.LOOK: WARNING,
    AuditEntry.Action.PAUSE: WARNING,
    AuditEntry.Action.RESUME: GOOD,
    AuditEntry.Action.LIFT: GOOD,
}


class ActorFilter(TextFilter):  # type: ignore[misc]
    """By who did it: `user ada`, or only `ada`, whom it finds as a user and as a key."""

    title = "who"
    parameter_name = "who"

    def queryset(self, _request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        who = (self.value() or "").strip().replace("\0", "")
        return queryset.filter(actor__in=_called(who)) if who else queryset


class TimeFilter(admin.SimpleListFilter):
    """By when it was done."""

    title = "time"
    parameter_name = "time"
    hours: ClassVar = {"1h": 1, "1d": 24, "7d": 7 * 24, "30d": 30 * 24}

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [("1h", "the last hour"), ("1d", "the last day"), ("7d", "the last week"), ("30d", "the last month")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        hours = self.hours.get(self.value() or "")
        return queryset.filter(at__gt=Now() - timedelta(hours=hours)) if hours else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(LedgerAdmin):
    """The list of what was done, and the page of each."""

    empty_state = "Nothing yet: whatever operators and API keys resend, cancel, redrive, discard or make is kept here."
    search_help_text = "A whole notification id, dead letter's id, user's or key's name; or who did it."
    ordering = ("-at",)
    list_display = (when_short("at"), "who", "action_badge", "about", "why")
    list_filter = ("action", ActorFilter, TimeFilter)
    list_filter_submit = True
    readonly_fields = ("who", "action_badge", "about", "why", "details")
    fieldsets = ((None, {"fields": (when("at"), "who", "action_badge", "about", "why", "details")}),)

    def matching(self, term: str) -> Q:
        return Q(subject=term) | Q(actor__in=_called(term))

    @admin.display(description="actor")
    def who(self, entry: AuditEntry) -> str:
        return entry.actor

    @admin.display(description="action")
    def action_badge(self, entry: AuditEntry) -> SafeString:
        return badge(entry.action, LOOKS.get(AuditEntry.Action(entry.action), PLAIN))

    @admin.display(description="subject")
    def about(self, entry: AuditEntry) -> SafeString:
        return long(entry.subject)

    @admin.display(description="reason")
    def why(self, entry: AuditEntry) -> str:
        return conceal_text(entry.reason) or NOTHING

    @admin.display(description="details")
    def details(self, entry: AuditEntry) -> str:
        return _told(entry.detail) or NOTHING


def _called(who: str) -> list[str]:
    """The actors that somebody may mean who says `ada`."""
    return [who, f"user {who}", f"key {who}"]


def actions_on(subjects: Sequence[str], actions: Sequence[str]) -> list[dict[str, str]]:
    """What has been done to them, latest first, for the table on their page."""
    entries: QuerySet[AuditEntry] = AuditEntry.objects.filter(subject__in=subjects, action__in=actions).order_by("-at")
    at = when("at")
    return [
        {
            "subject": entry.subject,
            "when": at(entry),
            "who": entry.actor,
            "action": entry.action,
            "reason": conceal_text(entry.reason) or NOTHING,
            "details": _told(entry.detail) or NOTHING,
        }
        for entry in entries[:LATEST]
    ]


def _told(detail: dict[str, object]) -> str:
    """`forced: true, deliveries: [1, 2]`, with tokens and secrets masked."""
    return ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in conceal(detail).items())
