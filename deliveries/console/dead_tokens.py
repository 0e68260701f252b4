"""Dead tokens: devices that a provider called gone for good, and whether the user service has heard of it."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q

from deliveries.console.base import LedgerAdmin
from deliveries.console.columns import device, when, when_short
from deliveries.models import DeadToken


@admin.register(DeadToken)
class DeadTokenAdmin(LedgerAdmin):
    """The list of dead tokens, and the page of each. No page shows a whole one."""

    empty_state = "No dead token: no provider has called a device gone."
    search_help_text = "A device's fingerprint: the 8 digits behind its #."
    ordering = ("-id",)
    list_display = (device, "user_id", "error_code", when_short("died_at"), "user_service")
    list_display_links = (device,)
    readonly_fields = ("user_service",)
    fieldsets = (
        (
            "What happened",
            {"fields": (device, "user_id", "provider", "error_code", "notification_id", when("died_at"))},
        ),
        (
            "Who has been told",
            {"fields": ("user_service", when("reported_at"), when("report_due_at"), "report_attempts", "report_error")},
        ),
    )

    def matching(self, term: str) -> Q:
        return Q(token_hash__startswith=term.lower())

    @admin.display(description="user service")
    def user_service(self, token: DeadToken) -> str:
        if token.reported_at is not None:
            return "told"
        if token.report_refused_at is not None:
            return f"refused to hear of it: {token.report_error}"
        return "is owed word of it" if token.report_due_at is not None else "not told"
