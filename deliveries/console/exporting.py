"""The lists of pushes as CSV: what is chosen, or what the filters find, with no whole token, for any spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, prefetch_related_objects
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, StreamingHttpResponse
from django.utils import timezone

from deliveries.console.operating import actor
from deliveries.masking import conceal
from deliveries.models import AuditEntry

if TYPE_CHECKING:
    from deliveries.console.pushes import PushAdmin

AT_ONCE = 500
MOST = 10_000  # rows
MOST_STRETCHES = 40  # each looks through a page's number of rows at most

#: What a spreadsheet takes for a formula, and would run.
DANGEROUS = ("=", "+", "-", "@", "\t", "\r")


def view(table: PushAdmin, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """The list as the address narrows it, from its beginning. Raises PermissionDenied."""
    if not table.has_view_permission(request):
        raise PermissionDenied
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    found = table.get_changelist_instance(request).stretches(AT_ONCE, MOST_STRETCHES)
    return _answer(table, request, found, {"filters": conceal(request.GET.dict())})


def chosen(table: PushAdmin, request: HttpRequest, ticked: QuerySet[Any]) -> StreamingHttpResponse:
    """What is ticked."""
    rows = list(ticked.order_by(*table.ordering)[:MOST])
    return _answer(table, request, [rows], {"rows": [str(row.pk) for row in rows]})


def cell(value: object) -> str:
    """As text that no spreadsheet runs."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(DANGEROUS) else text


def _answer(
    table: PushAdmin, request: HttpRequest, found: Iterable[list[Any]], detail: dict[str, Any]
) -> StreamingHttpResponse:
    """Written down before the first line goes out."""
    name = str(table.opts.verbose_name_plural)
    AuditEntry.objects.create(actor=actor(request), action=AuditEntry.Action.EXPORT, subject=name, detail=detail)
    answer = StreamingHttpResponse(_lines(table, found), content_type="text/csv; charset=utf-8")
    file = f"{name.replace(' ', '-')}-{timezone.now():%Y%m%d-%H%M%S}.csv"
    answer["Content-Disposition"] = f'attachment; filename="{file}"'
    return answer


class _Line:
    """Where the csv module writes to: it gives the line back."""

    def write(self, line: str) -> str:
        return line


def _lines(table: PushAdmin, found: Iterable[list[Any]]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(table.exported)
    left = MOST
    for rows in found:
        prefetch_related_objects(rows, *table.list_prefetch)
        for row in rows[:left]:
            yield writer.writerow([cell(value) for value in _values(table, row)])
        left -= len(rows)
        if left <= 0:
            return


def _values(table: PushAdmin, row: Any) -> Sequence[object]:
    return [read(row) for read in table.exported.values()]
