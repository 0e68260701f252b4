"""Seeing something unmasked: with the permission, for a reason, and with a line in the audit log for each look."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.debug import sensitive_variables
from unfold.widgets import UnfoldAdminTextInputWidget

from deliveries.console.operating import OperableAdmin, actor
from deliveries.ledger.audit import LONGEST_REASON
from deliveries.models import AuditEntry
from deliveries.operations import Who


class Look(forms.Form):
    """Why somebody wants to see it."""

    reason = forms.CharField(
        max_length=LONGEST_REASON, widget=UnfoldAdminTextInputWidget(), help_text="It is kept in the audit log."
    )


class RawAdmin(OperableAdmin):
    """A table of whose rows there is something to be seen unmasked. A subclass says what."""

    fieldsets: ClassVar[Any] = None

    def raw(self, row: Any) -> list[tuple[str, str]]:
        """What is seen: headings, and what stands below each."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        name = f"deliveries_{self.opts.model_name}_raw"
        return [
            path("<path:object_id>/raw/", self.admin_site.admin_view(self.raw_view), name=name),
            *super().get_urls(),
        ]

    @sensitive_variables()
    def raw_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks for a reason (GET), or writes the look down and shows it (POST). Raises PermissionDenied, Http404.

        The admin's pages are `no-store`, so that no cache keeps it.
        """
        if not (self.has_view_permission(request) and request.user.has_perm("deliveries.raw")):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        form = Look(request.POST if request.method == "POST" else None, label_suffix="")
        context = self.admin_site.each_context(request) | {
            "title": f"{self.opts.verbose_name.capitalize()} {row.pk}, unmasked",
            "opts": self.opts,
            "form": form,
            "back": reverse(f"admin:deliveries_{self.opts.model_name}_change", args=[quote(row.pk)]),
        }
        if form.is_valid():
            who = Who(actor(request), form.cleaned_data["reason"])
            AuditEntry.objects.create(
                actor=who.actor,
                action=AuditEntry.Action.LOOK,
                subject=self.subject(row),
                reason=who.reason,
                detail={"table": str(self.opts.verbose_name), "row": str(row.pk)},
            )
            context["raw"] = self.raw(row)
        return TemplateResponse(request, "admin/deliveries/raw.html", context)

    def _buttons(self, request: HttpRequest, row: Any) -> list[tuple[str, str]]:
        buttons = super()._buttons(request, row)
        if request.user.has_perm("deliveries.raw"):
            buttons.append(("Unmasked", reverse(f"admin:deliveries_{self.opts.model_name}_raw", args=[quote(row.pk)])))
        return buttons
