"""Dead letters: what could not be processed, with every reason and the beginning of its body."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html

from deliveries import operations
from deliveries.console.base import numbers
from deliveries.console.columns import NOTHING, preformatted, when, when_short
from deliveries.console.operating import Chosen, OperableAdmin, Operation
from deliveries.console.push_deliveries import UNKNOWN
from deliveries.console.samples import sample_badge
from deliveries.masking import conceal, conceal_text
from deliveries.models import AuditEntry, DeadLetter, PushDelivery
from deliveries.operations import Outcome, Who

#: Characters of a body that are shown; a cut one is read a little further, to mask what the cut divides.
SHOWN = 4096
READ = 2 * SHOWN


OPEN = frozenset({DeadLetter.State.OPEN})


def redrive(chosen: Sequence[Chosen], who: Who, _force: bool) -> list[Outcome]:
    return operations.redrive([int(row.key) for row in chosen], who)


def discard(chosen: Sequence[Chosen], who: Who, _force: bool) -> list[Outcome]:
    return operations.discard([int(row.key) for row in chosen], who)


@admin.register(DeadLetter)
class DeadLetterAdmin(OperableAdmin):
    """The list of dead letters, and the page of each."""

    operations = (
        Operation(
            AuditEntry.Action.REDRIVE,
            "Each that is open is tried once more: a message is read again, and a notification whose attempts were "
            "used up is sent again.",
            OPEN,
            redrive,
            sends=True,
        ),
        Operation(
            AuditEntry.Action.DISCARD,
            "Each that is open is closed for good: nothing is sent. It stays in the list as discarded.",
            OPEN,
            discard,
            needs_reason=True,
        ),
    )

    empty_state = "No dead letter: every message could be read, and none ran out of attempts."
    search_help_text = "A whole notification id or correlation id."
    ordering = ("-id",)
    list_display = ("shown_id", "code", "why", "notification_id", "size", "count", "state", when_short("last_seen_at"))
    list_filter = ("state",)
    readonly_fields = ("why", "closed_because", "shown_body")
    fieldsets = (
        ("What happened", {"fields": ("code", "why", "state", "closed_because", "notification_id", "correlation_id")}),
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

    def standing(self, row: DeadLetter) -> str:
        return row.state

    def chosen(self, keys: Sequence[str]) -> list[Chosen]:
        letters = list(DeadLetter.objects.filter(pk__in=numbers(keys)).defer("body").order_by("-id"))
        of = PushDelivery.objects.filter(
            notification__in=[row.notification_id for row in letters if row.notification_id]
        )
        unknown = set(of.filter(UNKNOWN).values_list("notification_id", flat=True))
        return [
            Chosen(
                str(row.pk),
                f"{row.pk} {row.notification_id or ''}".strip(),
                row.notification_id or "",
                row.state,
                row.code,
                unknown=row.notification_id in unknown,
            )
            for row in letters
        ]

    @admin.display(description="id")
    def shown_id(self, letter: DeadLetter) -> str:
        return format_html("{} {}", letter.pk, sample_badge(letter))

    @admin.display(description="note")
    def closed_because(self, letter: DeadLetter) -> str:
        return conceal_text(letter.note) or NOTHING

    @admin.display(description="reasons")
    def why(self, letter: DeadLetter) -> str:
        return conceal_text("\n".join(map(str, letter.reasons)))

    @admin.display(description=f"body, up to {SHOWN} characters")
    def shown_body(self, letter: DeadLetter) -> str:
        return preformatted(readable(bytes(letter.body))[:SHOWN])


def readable(body: bytes) -> str:
    """A body of whatever kind as text, indented if it is JSON, with tokens and secrets masked."""
    try:
        return json.dumps(conceal(json.loads(body)), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return conceal_text(body[:READ].decode(errors="replace"))
