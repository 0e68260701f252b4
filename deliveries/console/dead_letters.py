"""Dead letters: what could not be processed, with every reason and the beginning of its body."""

from __future__ import annotations

import json

from django.contrib import admin
from django.db.models import Q

from deliveries.console.base import LedgerAdmin
from deliveries.console.columns import preformatted, when, when_short
from deliveries.masking import conceal, conceal_text
from deliveries.models import DeadLetter

#: Characters of a body that are shown; a cut one is read a little further, to mask what the cut divides.
SHOWN = 4096
READ = 2 * SHOWN


@admin.register(DeadLetter)
class DeadLetterAdmin(LedgerAdmin):
    """The list of dead letters, and the page of each."""

    empty_state = "No dead letter: every message could be read, and none ran out of attempts."
    search_help_text = "A whole notification id or correlation id."
    ordering = ("-id",)
    list_display = ("id", "code", "why", "notification_id", "size", "count", "state", when_short("last_seen_at"))
    list_filter = ("state",)
    readonly_fields = ("why", "shown_body")
    fieldsets = (
        ("What happened", {"fields": ("code", "why", "state", "notification_id", "correlation_id")}),
        ("When", {"fields": ("count", when("first_seen_at"), when("last_seen_at"))}),
        (
            "Who has been told",
            {
                "fields": (
                    when("copy_due_at", "copy to the failed queue due"),
                    when("report_due_at", "report to the gateway due"),
                    when("reported_at", "gateway told"),
                    "report_attempts",
                    "report_error",
                )
            },
        ),
        ("The message", {"fields": ("size", "body_hash", "shown_body")}),
    )

    def matching(self, term: str) -> Q:
        return Q(notification_id=term) | Q(correlation_id=term)

    @admin.display(description="reasons")
    def why(self, letter: DeadLetter) -> str:
        return "\n".join(map(str, letter.reasons))

    @admin.display(description=f"body, up to {SHOWN} characters")
    def shown_body(self, letter: DeadLetter) -> str:
        return preformatted(readable(bytes(letter.body))[:SHOWN])


def readable(body: bytes) -> str:
    """A body of whatever kind as text, indented if it is JSON, with tokens and secrets masked."""
    try:
        return json.dumps(conceal(json.loads(body)), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return conceal_text(body[:READ].decode(errors="replace"))
