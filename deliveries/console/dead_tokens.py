"""Dead tokens: devices that a provider called gone for good, whether that is believed, and who has heard of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from deliveries import operations
from deliveries.console.base import numbers
from deliveries.console.columns import device, when, when_short
from deliveries.console.fleet import heard_lately, living
from deliveries.console.operating import Chosen, OperableAdmin, Operation
from deliveries.console.troubles import pruning
from deliveries.masking import fingerprint
from deliveries.models import AuditEntry, DeadToken
from deliveries.operations import Outcome, Who

HELD = "held"


class MemoryFilter(admin.SimpleListFilter):
    """By whether it is tried, and why."""

    title = "whether it is tried"
    parameter_name = "memory"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [(HELD, "held: tried"), ("remembered", "remembered: not tried"), ("over", "its memory is over: tried")]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[DeadToken]) -> QuerySet[DeadToken]:
        remembered = Q(held_at=None, remembered_until__gt=Now())
        chosen = {
            HELD: Q(held_at__isnull=False),
            "remembered": remembered,
            "over": Q(held_at=None) & ~remembered,
        }
        return queryset.filter(chosen.get(self.value() or "", Q()))


def believe(chosen: Sequence[Chosen], who: Who, _force: bool) -> list[Outcome]:
    return operations.believe([int(row.key) for row in chosen], who)


def forget(chosen: Sequence[Chosen], who: Who, _force: bool) -> list[Outcome]:
    return operations.forget([int(row.key) for row in chosen], who)


@admin.register(DeadToken)
class DeadTokenAdmin(OperableAdmin):
    """The list of dead tokens, and the page of each. No page shows a whole one."""

    operations = (
        Operation(
            AuditEntry.Action.BELIEVE,
            "Each that is held counts as dead: it is not tried again for as long as it is remembered, and the user "
            "service is told of it.",
            frozenset({HELD}),
            believe,
        ),
        Operation(
            AuditEntry.Action.FORGET,
            "Each counts as living: it is tried with the next notification, and the user service is not told of it. "
            "What it was told already stays told.",
            frozenset({HELD, *DeadToken.Fate.values}),
            forget,
            removes=True,
        ),
    )

    empty_state = "No dead token: no provider has called a device gone."
    search_help_text = "A device's fingerprint: the 8 digits behind its #."
    ordering = ("-id",)
    list_display = (
        device,
        "user_id",
        "error_code",
        "fate",
        when_short("died_at"),
        when_short("remembered_until"),
        when_short("held_at"),
        "user_service",
    )
    list_display_links = (device,)
    list_filter = ("fate", MemoryFilter)
    readonly_fields = ("user_service",)
    fieldsets = (
        (
            "What happened",
            {"fields": (device, "user_id", "provider", "error_code", "fate", "notification_id", when("died_at"))},
        ),
        ("Is it tried?", {"fields": (when("remembered_until", "not until"), when("held_at", "tried, because held"))}),
        (
            "Who has been told",
            {"fields": ("user_service", when("reported_at"), when("report_due_at"), "report_attempts", "report_error")},
        ),
    )

    def matching(self, term: str) -> Q:
        return Q(token_hash__startswith=term.lower().removeprefix("#"))

    def notices(self) -> list[str]:
        return [trouble.sentence for trouble in pruning(living(heard_lately()))]

    def standing(self, row: DeadToken) -> str:
        return row.fate if row.held_at is None else HELD

    def chosen(self, keys: Sequence[str]) -> list[Chosen]:
        return [
            Chosen(
                str(row.pk),
                f"{row.pk} #{fingerprint(row.device_token)} of {row.user_id}",
                row.notification_id,
                self.standing(row),
                row.error_code,
            )
            for row in DeadToken.objects.filter(pk__in=numbers(keys)).order_by("-id")
        ]

    @admin.display(description="user service")
    def user_service(self, token: DeadToken) -> str:
        if token.reported_at is not None:
            return "told"
        if token.report_refused_at is not None:
            return f"refused to hear of it: {token.report_error}"
        return "is owed word of it" if token.report_due_at is not None else "not told"
