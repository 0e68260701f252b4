"""Pages of a list that nobody counts: each leads on from a row, so that rows which arrive meanwhile move nothing.

What an index finds, newest first, leads; the rest of what is asked for is looked for along that way, through as many
rows as a page has time for. Where these hold too few, the page says so, and "Older" leads on from where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from django.core.exceptions import EmptyResultSet, ValidationError
from django.db.models import BooleanField, ExpressionWrapper, Model, Q, QuerySet, prefetch_related_objects
from django.db.models.options import Options
from django.http import HttpRequest
from unfold.views import ChangeList

PAGE = 50
WALKED = 5_000  # rows that one page looks through
OLDER, NEWER = "older", "newer"
LONGEST = 1000  # characters of a place in an address


@dataclass(frozen=True, slots=True)
class Condition:
    """What is asked for. `lead` is a part of it, or all, by which an index finds the rows in the list's order.

    `column` is that index's first where it has one before the order. Of several that lead, the one of the highest rank
    does; the others are looked for along its way.
    """

    fits: Q
    lead: Q | None = None
    rank: int = 0
    column: str = ""

    @classmethod
    def equal(cls, column: str, value: str, rank: int) -> Self:
        """An index on this column and the list's order leads there, and PostgreSQL is left no other.

        To it `=` would make the column a constant, and so the order another index's as well: one that it believes to
        meet such a value soon, though all of them may be of last week.
        """
        fits = Q(**{f"{column}__gte": value, f"{column}__lte": value})
        return cls(fits, fits, rank, column)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: behind a row in the list's order, or before it; without a row at the list's beginning."""

    field: str
    descending: bool
    onward: bool = True
    row: tuple[Any, Any] | None = None

    @classmethod
    def of(cls, ordering: str, table: Options[Any], asked: Mapping[str, str]) -> Self:
        """As the address says; at the beginning where it says nothing that can be read."""
        start = cls(ordering.removeprefix("-"), ordering.startswith("-"))
        for name in (OLDER, NEWER):
            if (row := _read(asked.get(name, ""), table, start.field)) is not None:
                return replace(start, onward=name == OLDER, row=row)
        return start

    @property
    def order(self) -> list[str]:
        sign = "-" if self.descending == self.onward else ""
        return [f"{sign}{self.field}", f"{sign}pk"]

    @property
    def beyond(self) -> Q:
        """The rows that come next. The first half is what an index understands."""
        if self.row is None:
            return Q()
        value, pk = self.row
        sign = "lt" if self.descending == self.onward else "gt"
        further = Q(**{f"{self.field}__{sign}": value}) | Q(**{f"pk__{sign}": pk})
        return Q(**{f"{self.field}__{sign}e": value}) & further

    def behind(self, row: Model) -> Self:
        return replace(self, row=(getattr(row, self.field), row.pk))

    @property
    def written(self) -> str:
        assert self.row is not None
        return json.dumps([str(part) for part in self.row], separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows in the list's order, and from where it goes on; `looked_through` where only a part of the way was gone."""

    rows: list[Any]
    rest: Place | None = None
    looked_through: int = 0


def stretch(rows: QuerySet[Any], conditions: Sequence[Condition], place: Place, count: int) -> Stretch:
    """The next rows from there that meet all conditions, as many as `count`."""
    leader = max((each for each in conditions if each.lead is not None), key=lambda each: each.rank, default=None)
    along = _along(conditions, leader)
    ordered = _led(rows, leader, place).filter(place.beyond)
    try:
        found = list(ordered[: count + 1] if along is None else _walked(ordered, along, count + 1))
    except EmptyResultSet:  # a condition that nothing can meet
        return Stretch([])
    if len(found) > count:
        return Stretch(found[:count], place.behind(found[count - 1]))
    last = None if along is None else ordered.values_list(place.field, "pk")[WALKED - 1 : WALKED].first()
    return Stretch(found, replace(place, row=last), WALKED) if last else Stretch(found)


def _led(rows: QuerySet[Any], leader: Condition | None, place: Place) -> QuerySet[Any]:
    """The rows that it leads to, in the list's order."""
    if leader is None or leader.lead is None:
        return rows.order_by(*place.order)
    first = [f"{'' if place.onward else '-'}{leader.column}"] if leader.column else []
    return rows.filter(leader.lead).order_by(*first, *place.order)


def _along(conditions: Sequence[Condition], leader: Condition | None) -> Q | None:
    """What is left to be looked for on the way."""
    left = [each.fits for each in conditions if each is not leader or each.fits is not each.lead]
    return Q(*left) if left else None


def _walked(ordered: QuerySet[Any], fits: Q, count: int) -> Iterable[Any]:
    """PostgreSQL goes along the order and stops at the last row wanted, whatever it believes of how many fit."""
    way = ordered.annotate(fits=ExpressionWrapper(fits, BooleanField()))[:WALKED]
    sql, values = way.query.sql_with_params()
    sql = f"SELECT * FROM ({sql}) AS way WHERE fits LIMIT {count}"  # noqa: S608 - all is written by Django
    found: Iterable[Any] = ordered.model.objects.raw(sql, values)
    return found


class Pages(ChangeList):  # type: ignore[misc]
    """A list with links to what is older and newer."""

    filter_params: dict[str, list[str]]

    def get_queryset(self, request: HttpRequest, exclude_parameters: list[str | None] | None = None) -> QuerySet[Any]:
        """What filters and search ask for by conditions is not in it: `stretch` meets them."""
        # What is asked for anew begins at the beginning: no link or form of this page carries its place on.
        self.filter_params = {name: said for name, said in self.filter_params.items() if name not in (OLDER, NEWER)}
        rows: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        asked = [spec.condition() for spec in self.filter_specs if hasattr(spec, "condition")]
        if term := self.query.strip().replace("\0", ""):
            asked.append(self.model_admin.condition(term))
        self.conditions = [condition for condition in asked if condition is not None]
        return rows

    def get_results(self, request: HttpRequest) -> None:
        self.place = Place.of(self.model_admin.ordering[0], self.opts, request.GET)
        found = self.stretch(self.place, self.list_per_page)
        self.result_list = found.rows if self.place.onward else found.rows[::-1]
        prefetch_related_objects(found.rows, *getattr(self.model_admin, "list_prefetch", ()))
        self.looked_through = f"{found.looked_through:,}" if found.looked_through else ""
        self.rest = found.rest
        self.result_count = len(self.result_list)
        self.full_result_count = None
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True
        self.paginator = None

    def stretch(self, place: Place, count: int) -> Stretch:
        return stretch(self.queryset, self.conditions, place, count)

    def stretches(self, count: int, most: int) -> Iterator[list[Any]]:
        """The whole list from its beginning, so many rows at a time, and no more than so many times."""
        place: Place | None = replace(self.place, onward=True, row=None)
        for _ in range(most):
            if place is None:
                return
            found = self.stretch(place, count)
            yield found.rows
            place = found.rest

    @property
    def older(self) -> str | None:
        """The address of the next page."""
        place = self.rest if self.place.onward else self._from(-1)
        return str(self.get_query_string({OLDER: place.written})) if place else None

    @property
    def newer(self) -> str | None:
        """The address of the page before."""
        place = self.rest if not self.place.onward else self._from(0)
        return str(self.get_query_string({NEWER: place.written})) if place else None

    @property
    def newest(self) -> str | None:
        return None if self.place.row is None else str(self.get_query_string())

    def _from(self, index: int) -> Place | None:
        """Back whence this page was come to."""
        if self.place.row is None:
            return None
        return self.place.behind(self.result_list[index]) if self.result_list else self.place

    def get_filters_params(self, params: Mapping[str, list[str]] | None = None) -> dict[str, list[str]]:
        """Without what was left empty in the form of the filters."""
        asked: dict[str, list[str]] = super().get_filters_params(params)
        return {name: values for name, values in asked.items() if any(values)}


def _read(written: str, table: Options[Any], field: str) -> tuple[Any, Any] | None:
    """The value and the key of a row, as `Place.written` writes them; None where they cannot be read."""
    if not written or len(written) > LONGEST or "\\u0000" in written:
        return None
    try:
        value, pk = json.loads(written)
        column: Any = table.get_field(field)
        read = column.to_python(value), table.pk.to_python(pk)
    except (ValueError, TypeError, OverflowError, ValidationError, RecursionError):
        return None
    naive = isinstance(read[0], datetime) and read[0].tzinfo is None
    return None if None in read or naive else read
