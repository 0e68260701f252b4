"""API keys: who may call, for what, until when. Each is made here or by a command, shown once, and can be revoked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from deliveries.api import keys
from deliveries.console.base import LedgerAdmin
from deliveries.console.columns import when, when_short
from deliveries.models import ApiKey


class NewKey(forms.Form):
    """What a new key is for."""

    name = forms.CharField(max_length=keys.LONGEST_NAME, help_text="Who uses it.")
    scopes = forms.MultipleChoiceField(
        choices=ApiKey.Scope.choices,
        initial=[ApiKey.Scope.READ, ApiKey.Scope.SEND],
        widget=forms.CheckboxSelectMultiple,
        label="May",
    )
    expires_at = forms.DateTimeField(
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        label="Expires",
        help_text="In UTC. Empty: never.",
    )

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if ApiKey.objects.filter(name=name).exists():
            raise forms.ValidationError(
                f"There is a key of this name. Take another name, or replace it: python manage.py apikey {name}"
            )
        return name

    def clean_expires_at(self) -> datetime | None:
        expires_at: datetime | None = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise forms.ValidationError("This is in the past: the key would never be valid.")
        return expires_at


@admin.register(ApiKey)
class ApiKeyAdmin(LedgerAdmin):
    """The list of keys. Nothing of a key itself is shown, but once: there is only its hash to show."""

    empty_state = "No key yet. Make one here, or: python manage.py apikey <name>"
    search_fields = ()
    ordering = ("name",)
    list_display = (
        "name",
        "state",
        "may",
        when_short("created_at"),
        when_short("expires_at"),
        when_short("revoked_at"),
    )
    actions = ("revoke",)
    readonly_fields = ("state", "may")
    fieldsets = (
        (None, {"fields": ("name", "state", "may", when("created_at"), when("expires_at"), when("revoked_at"))}),
    )

    def matching(self, term: str) -> Q:
        return Q(name=term)

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return request.user.has_perm("deliveries.add_apikey")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("deliveries.change_apikey")

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",  # noqa: ARG002
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        """Asks what the key is for; the answer to the filled form is the only page that ever shows it.

        It stands in no session, cookie or redirect, and no cache keeps it: the admin's pages are `no-store`.
        """
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = NewKey(request.POST or None, label_suffix="")
        context = self.admin_site.each_context(request) | {"opts": self.opts, "title": "Make an API key", "form": form}
        if form.is_valid():
            name = form.cleaned_data["name"]
            context["key"] = keys.create(**form.cleaned_data, actor=_actor(request))
            context["title"] = f"The key of {name}"
        return TemplateResponse(request, "admin/deliveries/new_key.html", context)

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "revoked"
        return "expired" if key.expires_at is not None and key.expires_at <= timezone.now() else "valid"

    @admin.display(description="may")
    def may(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.action(description="Revoke chosen keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> None:
        """Ends them at once; the audit log says who did it."""
        valid = list(chosen.filter(revoked_at=None))
        for key in valid:
            keys.revoke(key.name, actor=_actor(request))
        messages.success(request, f"{len(valid)} revoked: calls with them answer 401 from now on.")


def _actor(request: HttpRequest) -> str:
    return f"user {request.user.get_username()}"
