"""API keys: who may call, since when; each can be revoked here, and made by a command only."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from deliveries.api import keys
from deliveries.console.base import LedgerAdmin
from deliveries.console.columns import when, when_short
from deliveries.models import ApiKey


@admin.register(ApiKey)
class ApiKeyAdmin(LedgerAdmin):
    """The list of keys. Nothing of a key itself is shown: there is only its hash to show."""

    empty_state = "No key yet. Make one: python manage.py apikey <name>"
    search_fields = ()
    ordering = ("name",)
    list_display = ("name", "state", when_short("created_at"), when_short("revoked_at"))
    actions = ("revoke",)
    readonly_fields = ("state",)
    fieldsets = ((None, {"fields": ("name", "state", when("created_at"), when("revoked_at"))}),)

    def matching(self, term: str) -> Q:
        return Q(name=term)

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        return "valid" if key.revoked_at is None else "revoked"

    @admin.action(description="Revoke the selected keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> None:
        """Ends them at once, and writes down who did it."""
        valid = list(chosen.filter(revoked_at=None))
        for key in valid:
            keys.revoke(key.name, actor=f"user {request.user.get_username()}")
            self.log_change(request, key, "revoked")
        messages.success(request, f"{len(valid)} revoked: calls with them answer 401 from now on.")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("deliveries.change_apikey")
