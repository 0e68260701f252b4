"""What the pages of all tables have in common: nobody edits them, and they never count or sort a big table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, checkbox

from deliveries.console.paging import PAGE, Condition, Pages

LATEST = 100  # rows of a table on another row's page
LONGEST_NUMBER = 18  # digits that a bigint surely takes

#: What ticks a row, as the theme draws it; its own way, a template for each, took a fifth of a list's time.
TICK = """<input type="checkbox" name="{}" class="{}" value="{}" aria-label="Select {}">"""


def numbers(keys: Sequence[str]) -> list[int]:
    """Those of the keys that can be the number of a row."""
    return [int(key) for key in keys if key.isdecimal() and len(key) <= LONGEST_NUMBER]


class ReadOnly:
    """Refuses to add, change and delete, whoever asks."""

    def has_add_permission(self, *_: Any) -> bool:
        return False

    def has_change_permission(self, *_: Any) -> bool:
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        return False


class LedgerAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    """A table of the ledger, to look at. A subclass says what is found by which search."""

    #: What to do where the table is empty: a sentence that names the command.
    empty_state: ClassVar[str]

    # Django takes callables where its type stubs know only names.
    fieldsets: ClassVar[Any] = None
    actions: Any = ()
    list_filter: ClassVar[Any] = ()
    list_per_page = PAGE
    list_max_show_all = 0
    list_fullwidth = True
    compressed_fields = False
    list_disable_select_all = True  # what is on other pages nobody has seen
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    sortable_by = ()
    # Our own `matching` is what searches; the name only makes the search box appear.
    search_fields: ClassVar[Any] = ("pk",)

    @admin.display(description=ModelAdmin.action_checkbox.short_description)
    def action_checkbox(self, row: Model) -> SafeString:
        return format_html(TICK, ACTION_CHECKBOX_NAME, checkbox.attrs["class"], row.pk, row)

    def matching(self, term: str) -> Q:
        """What a search finds."""
        raise NotImplementedError

    def condition(self, term: str) -> Condition | None:
        """The same, where a big table says which index leads to it."""
        fits = self.matching(term)
        return Condition(fits, fits)

    def get_search_results(
        self, _request: HttpRequest, queryset: QuerySet[Any], _term: str
    ) -> tuple[QuerySet[Any], bool]:
        """`condition` says what is found, of the whole term, spaces and all: ids may have them."""
        return queryset, False

    def get_changelist(self, _request: HttpRequest, **_: Any) -> type[Pages]:
        return Pages

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """PostgreSQL takes no NUL, and no row has one in its key."""
        return None if "\0" in unquote(object_id) else super().get_object(request, object_id, from_field)

    def notices(self) -> list[str]:
        """What nobody who looks at the list must miss."""
        return []

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {"empty_state": self.empty_state, "notices": self.notices(), **(extra_context or {})}
        page: HttpResponse = super().changelist_view(request, context)
        if isinstance(page, TemplateResponse) and page.context_data and "cl" in page.context_data:
            rows = page.context_data["cl"].result_list
            page.context_data["shows_samples"] = any(getattr(row, "is_sample", False) for row in rows)
        return page

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, _opts: object, object_id: str) -> HttpResponse:
        """To the list, with a word why: links are older than rows."""
        name = f"{self.opts.verbose_name} {unquote(object_id)}"
        messages.warning(request, f"There is no {name}, or not any more: what ended long ago is pruned.")
        return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))

    def lookup_allowed(self, lookup: str, value: object, request: object = None) -> bool:  # noqa: ARG002
        """Only the filters that are shown: others would let a device token be guessed bit by bit."""
        shown = {name for shown in self.list_filter for name in _lookups(shown)}
        return lookup in shown or lookup.removesuffix("__exact") in shown


def _lookups(shown: Any) -> Sequence[str]:
    """By what the address of a list names one of its filters."""
    if isinstance(shown, str | tuple):
        return (shown,) if isinstance(shown, str) else shown[:1]
    return getattr(shown, "names", None) or (shown.parameter_name,)
