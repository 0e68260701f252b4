"""What operators do to rows: chosen in a list or on the page of one, confirmed once, done by `deliveries.operations`.

One confirmation serves every operation and every table; a table says what it offers and how its chosen rows stand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from deliveries.console.audit import actions_on
from deliveries.console.base import LedgerAdmin
from deliveries.console.words import told, unfit_words
from deliveries.ledger.audit import LONGEST_REASON
from deliveries.models import AuditEntry
from deliveries.operations import Outcome, Who

LISTED = 20  # rows that the confirmation names one by one


@dataclass(frozen=True, slots=True)
class Chosen:
    """A row that an operator chose, and what there is to consider before anything is done to it."""

    key: str
    name: str
    notification_id: str
    status: str
    code: str
    sent: bool = False
    unknown: bool = False
    #: How often its notification had been resent when the operator saw it.
    seen: int | None = None

    @property
    def carried(self) -> str:
        """What the confirmation's form carries of it, for `_as_seen`."""
        return f"{'' if self.seen is None else self.seen}:{self.key}"


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operator may do: in words, and the function that does it to rows, for somebody, by force or not."""

    action: AuditEntry.Action
    consequence: str
    #: How a row stands that it can be done to; elsewhere its page has no button for it.
    offered_in: frozenset[str]
    act: Callable[[Sequence[Chosen], Who, bool], list[Outcome]]
    sends: bool = False
    can_be_forced: bool = False
    needs_reason: bool = False
    removes: bool = False  # the rows are not there afterwards
    #: What it is called, where that is another word than the audit log's.
    verb: str = ""

    @property
    def name(self) -> str:
        return self.verb or str(self.action.value)

    @property
    def title(self) -> str:
        return self.name.capitalize()


class Confirmation(forms.Form):
    """Why, and whether by force."""

    reason = forms.CharField(
        max_length=LONGEST_REASON, widget=UnfoldAdminTextInputWidget(), help_text="It is kept in the audit log."
    )
    force = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanWidget(),
        label="Send again what was sent already",
        help_text="Who has it may see it twice. This needs a reason.",
    )

    def __init__(self, operation: Operation, can_force: bool, data: QueryDict | None = None) -> None:
        super().__init__(data, label_suffix="")
        self.fields["reason"].required = operation.needs_reason
        if not can_force:
            del self.fields["force"]

    def clean(self) -> None:
        if self.cleaned_data.get("force") and not self.cleaned_data.get("reason"):
            self.add_error("reason", "Say why it is to be sent again although it was sent already.")


class OperableAdmin(LedgerAdmin):
    """A table on whose rows operators act."""

    operations: ClassVar[tuple[Operation, ...]]
    #: What else is told of a row on its page.
    also_audited: ClassVar[tuple[AuditEntry.Action, ...]] = ()
    fieldsets: ClassVar[Any] = None

    def chosen(self, keys: Sequence[str]) -> list[Chosen]:
        """How the rows with these keys stand now; what is not there any more is left out."""
        raise NotImplementedError

    def standing(self, row: Any) -> str:
        """The state by which the page of one row offers an operation or not."""
        return str(row.status)

    def subject(self, row: Any) -> str:
        """What the audit log calls the row."""
        return str(row.pk)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("deliveries.operate")

    def get_urls(self) -> list[URLPattern]:
        urls = [
            path(
                f"{operation.name}/",
                self.admin_site.admin_view(partial(self.confirmation_view, operation=operation)),
                name=f"deliveries_{self.opts.model_name}_{operation.name}",
            )
            for operation in self.operations
        ]
        return [*urls, *super().get_urls()]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        offered = self.operations if self.has_operate_permission(request) else ()
        plural = self.opts.verbose_name_plural
        return {**super().get_actions(request)} | {
            operation.name: (partial(_confirm_list, operation), operation.name, f"{operation.title} chosen {plural}")
            for operation in offered
        }

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """With a button for each operation that fits the row, and what has been done to it before."""
        row = context["original"]
        actions = (*self.also_audited, *(operation.action for operation in self.operations))
        context |= {"buttons": self._buttons(request, row), "actions_taken": actions_on([self.subject(row)], actions)}
        page: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return page

    def confirmation_view(self, request: HttpRequest, operation: Operation) -> HttpResponse:
        """Asks (GET), or does it (POST). Raises PermissionDenied."""
        if not (self.has_view_permission(request) and self.has_operate_permission(request)):
            raise PermissionDenied
        if request.method != "POST":
            return self.ask(request, operation, self.chosen(_tidy(request.GET.getlist("id"))))
        if "force" in request.POST and not request.user.has_perm("deliveries.force"):
            raise PermissionDenied
        seen = dict(map(_as_seen, _tidy(request.POST.getlist("chosen"))))
        chosen = [replace(row, seen=seen[row.key]) for row in self.chosen(list(seen))]
        form = Confirmation(operation, _can_force(request, operation, chosen), request.POST)
        if not chosen or not form.is_valid():
            return self.ask(request, operation, chosen, form)
        who = Who(actor(request), form.cleaned_data["reason"])
        outcomes = operation.act(chosen, who, form.cleaned_data.get("force", False))
        for level, message in told(outcomes):
            messages.add_message(request, level, message)
        filters = request.POST.get("filters", "" if operation.removes else None)
        return HttpResponseRedirect(self._back(filters, chosen))

    def ask(
        self,
        request: HttpRequest,
        operation: Operation,
        chosen: list[Chosen],
        form: Confirmation | None = None,
        filters: str | None = None,
    ) -> HttpResponse:
        """The page that says what will happen to which rows. `filters` are those of the list from which they come."""
        filters = request.POST.get("filters", filters)
        if not chosen:
            messages.warning(request, "Nothing was chosen, or it is not there any more.")
            return HttpResponseRedirect(self._back(filters or "", chosen))
        context = self.admin_site.each_context(request) | {
            "title": f"{operation.title} {self._count(chosen)}?",
            "opts": self.opts,
            "operation": operation,
            "form": form or Confirmation(operation, _can_force(request, operation, chosen)),
            "address": reverse(f"admin:deliveries_{self.opts.model_name}_{operation.name}"),
            "chosen": chosen,
            "listed": chosen if len(chosen) <= LISTED else [],
            "has_codes": any(row.code for row in chosen),
            "unfit": unfit_words(sum(row.status not in operation.offered_in for row in chosen), len(chosen)),
            "unknown": [row for row in chosen if operation.sends and row.unknown],
            "filters": filters,
            "back": self._back(filters, chosen),
        }
        return TemplateResponse(request, "admin/deliveries/confirmation.html", context)

    def _count(self, chosen: list[Chosen]) -> str:
        plural = self.opts.verbose_name_plural if len(chosen) > 1 else self.opts.verbose_name
        return f"{len(chosen)} {plural}"

    def _back(self, filters: str | None, chosen: list[Chosen]) -> str:
        """To the list with its filters, or to the row on whose page the button was pressed."""
        if filters is None:
            return reverse(f"admin:deliveries_{self.opts.model_name}_change", args=[quote(chosen[0].key)])
        return reverse(f"admin:deliveries_{self.opts.model_name}_changelist", query=QueryDict(filters))

    def _buttons(self, request: HttpRequest, row: Model) -> list[tuple[str, str]]:
        """Title and address of each."""
        if not self.has_operate_permission(request):
            return []
        query = urlencode({"id": row.pk})
        return [
            (operation.title, f"{reverse(f'admin:deliveries_{self.opts.model_name}_{operation.name}')}?{query}")
            for operation in self.operations
            if self.standing(row) in operation.offered_in and not getattr(row, "is_sample", False)
        ]


def actor(request: HttpRequest) -> str:
    """Who asks, for the audit log: `user ada`."""
    return f"user {request.user.get_username()}"


def _confirm_list(operation: Operation, table: OperableAdmin, request: HttpRequest, _: QuerySet[Any]) -> HttpResponse:
    """What was ticked; never all rows of all pages, which nobody has seen."""
    ticked = _tidy(request.POST.getlist(ACTION_CHECKBOX_NAME))
    return table.ask(request, operation, table.chosen(ticked), filters=request.GET.urlencode())


def _can_force(request: HttpRequest, operation: Operation, chosen: list[Chosen]) -> bool:
    return operation.can_be_forced and any(c.sent for c in chosen) and request.user.has_perm("deliveries.force")


def _tidy(keys: list[str]) -> list[str]:
    """PostgreSQL takes no NUL, and no id has one."""
    return [key for key in keys if "\0" not in key]


def _as_seen(carried: str) -> tuple[str, int | None]:
    """The key of a row, and how often its notification had been resent when the operator saw it."""
    seen, _, key = carried.partition(":")
    return key, int(seen) if seen.isdecimal() and len(seen) < 10 else None
