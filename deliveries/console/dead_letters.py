"""Dead letters: what could not be processed, with every reason and the beginning of its body."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from deliveries import operations
from deliveries.console.badges import QUIET, Look, badge
from deliveries.console.base import numbers
from deliveries.console.columns import NOTHING, age, long, preformatted, when, when_short, withheld
from deliveries.console.letter_causes import CausesAdmin
from deliveries.console.operating import Chosen, Operation
from deliveries.console.push_deliveries import UNKNOWN
from deliveries.console.raw import RawAdmin
from deliveries.console.samples import sample_badge
from deliveries.console.words import no_worker
from deliveries.masking import conceal, conceal_text
from deliveries.models import AuditEntry, DeadLetter, PushDelivery
from deliveries.operations import Outcome, Who

#: Characters of a body that are shown; a cut one is read a little further, to mask what the cut divides.
SHOWN = 4096
READ = 2 * SHOWN

#: Where the page has the body, or the line instead of it.
BODY = "shown_body"


#: What to do next about an open one.
ADVICE = {
    "invalid_message": "Nothing was sent. Have it published anew as it should be, then discard it. Where the fault was "
    "ours and is mended, redrive it: it is read again as it came.",
    "exhausted": "When what failed is well again, redrive it: it is sent to the devices that have not got it. Where it "
    "has lost its point, discard it.",
}

OPEN = frozenset({DeadLetter.State.OPEN})

STATE = {
    DeadLetter.State.OPEN: Look("danger", "mark_email_unread"),
    DeadLetter.State.REDRIVEN: Look("success", "replay"),
    DeadLetter.State.DISCARDED: QUIET,
}


class CodeFilter(admin.SimpleListFilter):
    """By what they are."""

    title = "kind"
    parameter_name = "code"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [("invalid_message", "cannot be read"), ("exhausted", "attempts used up")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[DeadLetter]) -> QuerySet[DeadLetter]:
        return queryset.filter(code=self.value()) if self.value() else queryset


def redrive(chosen: Sequence[Chosen], who: Who, _force: bool) -> list[Outcome]:
    return operations.redrive([int(row.key) for row in chosen], who)


def discard(chosen: Sequence[Chosen], who: Who, _force: bool) -> list[Outcome]:
    return operations.discard([int(row.key) for row in chosen], who)


@admin.register(DeadLetter)
class DeadLetterAdmin(CausesAdmin, RawAdmin):
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
    list_display = (
        "shown_id",
        "state_badge",
        "code",
        "why",
        "of",
        "bytes",
        "count",
        when_short("first_seen_at"),
        when_short("last_seen_at"),
        "closed_because",
    )
    list_filter = ("state", CodeFilter)
    also_audited = (AuditEntry.Action.LOOK,)
    readonly_fields = ("kind", "closed_because", "of", "bytes", "shown_body", "withheld_body")
    fieldsets = (
        (
            "What happened",
            {"fields": ("kind", "closed_because", "of", "correlation_id")},
        ),
        (
            "When",
            {"fields": ("count", when("first_seen_at"), when("last_seen_at"), when("redrive_at", "to be redriven"))},
        ),
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
        ("The message", {"fields": ("bytes", "body_hash", BODY)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        """Bodies of up to 64 KiB stay where they are until one is looked at."""
        letters: QuerySet[DeadLetter] = super().get_queryset(request).defer("body")
        return letters

    def get_fieldsets(self, request: HttpRequest, obj: DeadLetter | None = None) -> Any:
        """What a push says only to who may see it."""
        fieldsets = super().get_fieldsets(request, obj)
        if request.user.has_perm("deliveries.payload"):
            return fieldsets
        shown = tuple("withheld_body" if field == BODY else field for field in fieldsets[-1][1]["fields"])
        return (*fieldsets[:-1], (fieldsets[-1][0], {"fields": shown}))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """With what it is, why, and what to do next above everything else."""
        row = context["original"]
        context |= {
            "row": f"Dead letter {row.pk}",
            "badge": self.state_badge(row),
            "cause": self.why(row),
            "advice": _advice(row),
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def raw(self, row: DeadLetter) -> list[tuple[str, str]]:
        return [("The message", bytes(row.body).decode(errors="replace"))]

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

    @admin.display(description="state")
    def state_badge(self, letter: DeadLetter) -> SafeString:
        if letter.redrive_at is not None:
            return badge("to be redriven", Look("info", "schedule"), "It waits for its turn.")
        return badge(letter.state, STATE[DeadLetter.State(letter.state)])

    @admin.display(description="notification")
    def of(self, letter: DeadLetter) -> str:
        return long(letter.notification_id) if letter.notification_id else NOTHING

    @admin.display(description="code")
    def kind(self, letter: DeadLetter) -> str:
        return letter.code

    @admin.display(description="size")
    def bytes(self, letter: DeadLetter) -> SafeString:
        return format_html('<span class="nowrap">{} bytes</span>', f"{letter.size:,}")

    @admin.display(description="body")
    def withheld_body(self, _letter: DeadLetter) -> str:
        return withheld("What it says")

    @admin.display(description="note")
    def closed_because(self, letter: DeadLetter) -> str:
        return conceal_text(letter.note) or NOTHING

    @admin.display(description="reasons")
    def why(self, letter: DeadLetter) -> str:
        return conceal_text("\n".join(map(str, letter.reasons)))

    @admin.display(description=f"body, up to {SHOWN} characters")
    def shown_body(self, letter: DeadLetter) -> str:
        return preformatted(readable(bytes(letter.body))[:SHOWN])


def _advice(letter: DeadLetter) -> str:
    """What to do next about one; nothing where it is closed."""
    if letter.state != DeadLetter.State.OPEN:
        return ""
    if letter.redrive_at is not None:
        is_due = letter.redrive_at <= timezone.now()
        turn = "its turn has come" if is_due else f"its turn comes {age(letter.redrive_at)}"
        return f"Nothing: it is redriven by itself, {turn}. {no_worker()}".strip()
    return ADVICE.get(letter.code, "")


def readable(body: bytes) -> str:
    """A body of whatever kind as text, indented if it is JSON, with tokens and secrets masked."""
    try:
        document = json.dumps(conceal(json.loads(body)), indent=2, ensure_ascii=False)
        return document.encode(errors="replace").decode()  # half a sign, which no page can show
    except (ValueError, RecursionError):
        return conceal_text(body[:READ].decode(errors="replace"))
