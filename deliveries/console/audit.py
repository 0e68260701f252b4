"""The audit log: who did what to which notification, dead letter or key, when and why."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.contrib import admin
from django.db.models import Q, QuerySet

from deliveries.console.base import LATEST, LedgerAdmin
from deliveries.console.columns import NOTHING, when, when_short
from deliveries.masking import conceal, conceal_text
from deliveries.models import AuditEntry


@admin.register(AuditEntry)
class AuditEntryAdmin(LedgerAdmin):
    """The list of what was done, and the page of each."""

    empty_state = "Nothing yet: whatever operators and API keys resend, cancel, redrive, discard or make is kept here."
    search_help_text = "A whole notification id, dead letter's id or key's name; or a part of who did it."
    ordering = ("-at",)
    list_display = (when_short("at"), "actor", "action", "subject", "why")
    list_filter = ("action",)
    readonly_fields = ("why", "details")
    fieldsets = ((None, {"fields": (when("at"), "actor", "action", "subject", "why", "details")}),)

    def matching(self, term: str) -> Q:
        return Q(subject=term) | Q(actor__icontains=term)

    @admin.display(description="reason")
    def why(self, entry: AuditEntry) -> str:
        return conceal_text(entry.reason) or NOTHING

    @admin.display(description="details")
    def details(self, entry: AuditEntry) -> str:
        return _told(entry.detail) or NOTHING


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
