"""API keys: who may call, for what, until when. Each is made here or by a command, shown once, and can be revoked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from deliveries.api import keys
from deliveries.console.badges import BAD, GOOD, Look, badge
from deliveries.console.base import numbers
from deliveries.console.columns import when, when_short
from deliveries.console.operating import Chosen, OperableAdmin, Operation, actor
from deliveries.models import ApiKey, AuditEntry
from deliveries.operations import Outcome, Who

STATE = {"valid": GOOD, "expired": Look("warning", "timer_off"), "revoked": BAD}
SCOPE = Look("default", "key")


class NewKey(forms.Form):
    """What a new key is for."""

    name = forms.CharField(max_length=keys.LONGEST_NAME, widget=UnfoldAdminTextInputWidget(), help_text="Who uses it.")
    scopes = forms.MultipleChoiceField(
        choices=ApiKey.Scope.choices,
        initial=[ApiKey.Scope.READ, ApiKey.Scope.SEND],
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        label="May",
    )
    expires_at = forms.DateTimeField(
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
        label="Expires",
        help_text="In UTC. Empty: never.",
    )

    def __init__(self, may_operate: bool, data: QueryDict | None = None) -> None:
        super().__init__(data, label_suffix="")
        scopes = self.fields["scopes"]
        assert isinstance(scopes, forms.MultipleChoiceField)
        if not may_operate:  # nobody gives what they do not have
            scopes.choices = [choice for choice in ApiKey.Scope.choices if choice[0] != ApiKey.Scope.OPERATE]

    def clean_expires_at(self) -> datetime | None:
        expires_at: datetime | None = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise forms.ValidationError("This is in the past: the key would never be valid.")
        return expires_at


def revoke(chosen: Sequence[Chosen], who: Who, _force: bool) -> list[Outcome]:
    return [_revoked(row.name, who) for row in chosen]


def _revoked(name: str, who: Who) -> Outcome:
    try:
        keys.revoke(name, actor=who.actor, reason=who.reason)
    except ApiKey.DoesNotExist:
        return Outcome.of(name, "not_valid")
    return Outcome.of(name, "revoked")


@admin.register(ApiKey)
class ApiKeyAdmin(OperableAdmin):
    """The list of keys. Nothing of a key itself is shown, but once: there is only its hash to show."""

    operations = (
        Operation(
            AuditEntry.Action.KEY_REVOKED,
            "Each ends at once, and for good: calls with it answer 401.",
            frozenset({"valid", "expired"}),
            revoke,
            verb="revoke",
        ),
    )
    also_audited = (AuditEntry.Action.KEY_MADE,)

    empty_state = "No key yet. Make one here, or: python manage.py apikey <name>"
    search_fields = ()
    ordering = ("name",)
    list_display = (
        "name",
        "state_badge",
        "scopes_badges",
        when_short("created_at"),
        when_short("expires_at"),
        when_short("revoked_at"),
    )
    readonly_fields = ("state_badge", "scopes_badges")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "name",
                    "state_badge",
                    "scopes_badges",
                    when("created_at"),
                    when("expires_at"),
                    when("revoked_at"),
                )
            },
        ),
    )

    def matching(self, term: str) -> Q:
        return Q(name=term)

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return request.user.has_perm("deliveries.add_apikey")

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("deliveries.change_apikey")

    def standing(self, row: ApiKey) -> str:
        return self.state(row)

    def subject(self, row: ApiKey) -> str:
        return row.name

    def chosen(self, keys: Sequence[str]) -> list[Chosen]:
        rows = ApiKey.objects.filter(pk__in=numbers(keys)).order_by("name")
        return [Chosen(str(row.pk), row.name, "", self.state(row), "") for row in rows]

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
        may_operate = request.user.has_perms(["deliveries.operate", "deliveries.force"])  # a key may do both
        form = NewKey(may_operate, request.POST or None)
        context = self.admin_site.each_context(request) | {"opts": self.opts, "title": "Make an API key", "form": form}
        if form.is_valid():
            context |= _made(form, actor(request))
        return TemplateResponse(request, "admin/deliveries/new_key.html", context)

    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "revoked"
        return "expired" if key.expires_at is not None and key.expires_at <= timezone.now() else "valid"

    @admin.display(description="state")
    def state_badge(self, key: ApiKey) -> SafeString:
        state = self.state(key)
        return badge(state, STATE[state])

    @admin.display(description="may")
    def scopes_badges(self, key: ApiKey) -> SafeString:
        return format_html_join(" ", "{}", ((badge(scope, SCOPE, ApiKey.Scope(scope).label),) for scope in key.scopes))


def _made(form: NewKey, actor: str) -> dict[str, str]:
    """The new key and a title for the page that shows it; nothing where it cannot be made, which the form then says."""
    try:
        made = keys.create(**form.cleaned_data, actor=actor, replace=False)
    except ValueError as refused:
        form.add_error("name", str(refused))
        return {}
    return {"key": made.key, "title": f"The key of {form.cleaned_data['name']}"}
