"""Brakes: what is not sent for a while, because a provider asked for a pause or does not let us in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from deliveries import operations
from deliveries.console.base import numbers
from deliveries.console.columns import NOTHING, age, visible, when, when_short
from deliveries.console.holdups import held_up
from deliveries.console.operating import Chosen, OperableAdmin, Operation
from deliveries.console.troubles import holding
from deliveries.masking import conceal_text
from deliveries.models import AuditEntry, Brake
from deliveries.operations import Outcome, Who
from deliveries.ramp import FAR, RAMP

RESUMED = "nothing is sent until somebody resumes it, on the page of providers"


def lift(chosen: Sequence[Chosen], who: Who, _force: bool) -> list[Outcome]:
    return operations.lift([int(row.key) for row in chosen], who)


@admin.register(Brake)
class BrakeAdmin(OperableAdmin):
    """The list of brakes, and the page of each; they are kept for a while after they are over."""

    operations = (
        Operation(
            AuditEntry.Action.LIFT,
            "Each pause is over at once, and sends climb back to their full pace. Where the provider still wants a "
            "pause, the first send meets it again.",
            frozenset({"on", "ramp"}),
            lift,
        ),
    )

    empty_state = "No brake of the last day: no provider has asked for a pause, and all have let us in."
    search_help_text = "A provider's name, or the provider's word for the trouble."
    ordering = ("-until",)
    list_display = ("scope_word", "about", "code", "state", "advice_in_words", "met_by", when_short("set_at"))
    readonly_fields = ("about", "state", "ends", "advice_in_words", "met_by", "climbs_to", "at_last")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "scope",
                    "about",
                    "provider",
                    "code",
                    "advice_in_words",
                    "state",
                    "met_by",
                    "climbs_to",
                    "at_last",
                )
            },
        ),
        ("When", {"fields": (when("set_at"), "ends")}),
    )

    def matching(self, term: str) -> Q:
        return Q(provider=term.lower()) | Q(code=term.upper()) | Q(code=term.lower())

    def standing(self, row: Brake) -> str:
        return standing(row)

    def subject(self, row: Brake) -> str:
        return row.key

    def chosen(self, keys: Sequence[str]) -> list[Chosen]:
        rows = Brake.objects.filter(pk__in=numbers(keys)).order_by("pk")
        return [Chosen(str(row.pk), self.name(row), "", standing(row), row.code) for row in rows]

    def name(self, brake: Brake) -> str:
        return f"{brake.scope} {self.about(brake)}"

    @admin.display(description="scope")
    def scope_word(self, brake: Brake) -> str:
        return brake.scope

    @admin.display(description="of")
    def about(self, brake: Brake) -> str:
        return conceal_text(brake.subject)

    @admin.display(description="state")
    def state(self, brake: Brake) -> str:
        words = {
            "paused": RESUMED,
            "on": f"nothing is sent: it ends {age(brake.until)}",
            "ramp": f"it ended {age(brake.until)}: {climbing(brake)}",
            "over": f"over: it ended {age(brake.until)}",
        }
        return words[standing(brake)]

    @admin.display(description="until")
    def ends(self, brake: Brake) -> str:
        return RESUMED if brake.awaits_a_person else when("until")(brake)

    @admin.display(description="what to do")
    def advice_in_words(self, brake: Brake) -> str:
        return conceal_text(brake.advice)

    @admin.display(description="pace")
    def climbs_to(self, brake: Brake) -> str:
        return f"{brake.pace:,g} sends a second, within a minute of its end; a pause on the way halves it"

    @admin.display(description="full pace")
    def at_last(self, brake: Brake) -> str:
        return f"{brake.full_pace:,g} sends a second"

    @admin.display(description="met by")
    def met_by(self, brake: Brake) -> str:
        if not brake.notification_id:
            return NOTHING
        url = reverse("admin:deliveries_notification_change", args=[quote(brake.notification_id)])
        return format_html('<a href="{}">{}</a>', url, visible(brake.notification_id))


def standing(brake: Brake) -> str:
    """`paused` by an operator, `on`, `ramp` or `over`."""
    now = timezone.now()
    if brake.awaits_a_person:
        return "paused"
    if brake.until > now:
        return "on"
    return "ramp" if max(brake.last_turn, brake.until + timedelta(seconds=RAMP)) > now else "over"


def climbing(brake: Brake) -> str:
    """How a pause that has ended goes on, in words: who has to wait long is told so."""
    turn = (brake.last_turn - timezone.now()).total_seconds()
    last = f"; the last that wait have their turn in {turn:.0f} s" if turn > FAR else ""
    return f"sends climb back to {brake.full_pace:g} a second{last}"


class HeldUpAdmin(OperableAdmin):
    """A table of pushes: above its list stands what holds more of them up than one device or topic."""

    fieldsets: ClassVar[Any] = None

    def notices(self) -> list[str]:
        return [trouble.sentence for trouble in holding(held_up())]
