"""A push unmasked, for the few who may: asked for with a reason, shown once, each look in the audit log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from unfold.widgets import UnfoldAdminTextInputWidget

from deliveries.console.operating import actor
from deliveries.console.payload import payload
from deliveries.ledger.audit import LONGEST_REASON, Audited
from deliveries.models import AuditEntry

if TYPE_CHECKING:
    from deliveries.console.pushes import PushAdmin


class Reason(forms.Form):
    """Why it must be seen."""

    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextInputWidget(),
        help_text="It is kept in the audit log, with your name and the time.",
    )


def may_look(request: HttpRequest) -> bool:
    return request.user.has_perm("deliveries.raw")


def address(table: PushAdmin, request: HttpRequest, row: Any) -> str | None:
    """Of the page that asks why; None for who may not."""
    if not may_look(request):
        return None
    return f"{reverse(f'admin:deliveries_{table.opts.model_name}_raw')}?{urlencode({'id': row.pk})}"


def view(table: PushAdmin, request: HttpRequest) -> HttpResponse:
    """Asks why (GET), or writes it down and shows the push (POST). Raises PermissionDenied and Http404."""
    if not (table.has_view_permission(request) and may_look(request)):
        raise PermissionDenied
    row = table.get_object(request, request.GET.get("id", "").replace("\0", ""))
    if row is None:
        raise Http404("There is no such row.")
    form = Reason(request.POST or None, label_suffix="")
    context = table.admin_site.each_context(request) | {
        "opts": table.opts,
        "title": f"Unmasked: {row}",
        "form": form,
        "back": reverse(f"admin:deliveries_{table.opts.model_name}_change", args=[row.pk]),
    }
    if request.method == "POST" and form.is_valid():
        context |= _looked_at(table, row, Audited(actor(request), form.cleaned_data["reason"]))
    page = TemplateResponse(request, "admin/deliveries/raw.html", context)
    add_never_cache_headers(page)
    return page


def _looked_at(table: PushAdmin, row: Any, by: Audited) -> dict[str, Any]:
    """Written down before anything is shown."""
    notification, devices = table.push(row)
    detail = {"table": str(table.opts.verbose_name), "row": str(row.pk)}
    AuditEntry.objects.create(
        actor=by.actor, action=AuditEntry.Action.LOOK, subject=table.subject(row), reason=by.reason, detail=detail
    )
    return {
        "is_shown": True,
        "request_json": json.dumps(notification.request, indent=2, ensure_ascii=False),
        "devices": [(delivery, payload(notification, delivery, raw=True)) for delivery in devices],
    }
