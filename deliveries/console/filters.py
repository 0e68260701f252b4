"""By what the lists of notifications and deliveries are narrowed, and which index leads to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.lookups import Exact
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from unfold.contrib.filters.admin import RadioFilter, TextFilter
from unfold.contrib.filters.forms import RadioForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from deliveries.console.paging import Condition
from deliveries.models import ENDS, Notification, PushDelivery, Status

#: Which of several conditions leads: the rarer, the higher.
TROUBLE, CODE, UNKNOWN, OPEN, FOUND = range(1, 6)

#: Notifications that have not ended; of more than so many, the newest are looked through.
MOST_OPEN = 1000

SPANS = {"15m": "15 minutes", "1h": "1 hour", "24h": "24 hours", "7d": "7 days"}
LENGTHS = {"15m": timedelta(minutes=15), "1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7)}


class SelectForm(RadioForm):  # type: ignore[misc]
    """One of several, in a row of its own."""

    widget = UnfoldAdminSelectWidget


class Choice(RadioFilter):  # type: ignore[misc]
    """One of several values."""

    form_class = SelectForm

    def queryset(self, _request: HttpRequest, _queryset: QuerySet[Any]) -> None:
        """`condition` says it."""

    def condition(self) -> Condition | None:
        chosen = self.value()
        return self.of(chosen) if chosen in dict(self.lookup_choices) else None

    def of(self, chosen: str) -> Condition:
        raise NotImplementedError


class Word(TextFilter):  # type: ignore[misc]
    """A whole word."""

    def queryset(self, _request: HttpRequest, _queryset: QuerySet[Any]) -> None:
        """`condition` says it."""

    def condition(self) -> Condition | None:
        word = (self.value() or "").replace("\0", "").strip()
        return self.of(word) if word else None

    def of(self, word: str) -> Condition:
        raise NotImplementedError


class StatusFilter(Choice):
    """What has not ended is found by its notifications in work and due, trouble by its codes; the rest is most rows."""

    title = "status"
    parameter_name = "status__exact"

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: type[Model], *more: Any) -> None:
        super().__init__(request, params, model, *more)
        self.key = "notification__in" if model is PushDelivery else "pk__in"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [(str(status.value), str(status.label)) for status in Status]

    def of(self, chosen: str) -> Condition:
        fits = Q(status=chosen)
        if chosen == Status.SENT:
            return Condition(fits)
        if chosen in ENDS:
            return Condition(fits, ~Q(error_code=""), TROUBLE)
        open_ones = _open()
        return Condition(fits) if len(open_ones) > MOST_OPEN else Condition(fits, Q(**{self.key: open_ones}), OPEN)


class CodeFilter(Word):
    """An error code, ours or FCM's."""

    title = "error code"
    parameter_name = "error_code__exact"

    def of(self, word: str) -> Condition:
        return Condition.equal("error_code", word, CODE)


class TemplateFilter(Word):
    """Of notifications."""

    title = "template"
    parameter_name = "template_id__exact"

    def of(self, word: str) -> Condition:
        return Condition(Q(template_id=word))


class DeliveryTemplateFilter(TemplateFilter):
    """The template of its notification, which is looked up row by row: a join would read all notifications."""

    def of(self, word: str) -> Condition:
        template = Notification.objects.filter(pk=OuterRef("notification_id")).values("template_id")
        return Condition(Q(Exact(Subquery(template), Value(word))))


class PlatformFilter(Choice):
    """What kind of device it is."""

    title = "platform"
    parameter_name = "platform__exact"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in ("android", "ios", "web")]

    def of(self, chosen: str) -> Condition:
        return Condition(Q(platform=chosen))


class AttemptsFilter(Choice):
    """How often FCM has answered."""

    title = "attempts"
    parameter_name = "attempts__gte"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [("2", "2 or more"), ("3", "3 or more")]

    def of(self, chosen: str) -> Condition:
        return Condition(Q(attempts__gte=int(chosen)))


class UnknownFilter(Choice):
    """Sends whose outcome nobody knows."""

    title = "unknown outcome"
    parameter_name = "unknown"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [("yes", "of one send or more")]

    def of(self, _chosen: str) -> Condition:
        fits = Q(unknown_count__gt=0)
        return Condition(fits, fits, UNKNOWN)


class TimeForm(forms.Form):
    """How long ago, or from when to when."""

    within = forms.ChoiceField(
        choices=[("", "All"), *SPANS.items()],
        required=False,
        label="Accepted in the last",
        widget=UnfoldAdminSelectWidget,
    )
    since = forms.DateTimeField(
        required=False, label="From (UTC)", widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"})
    )
    until = forms.DateTimeField(
        required=False, label="To (UTC)", widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"})
    )


class TimeFilter(admin.ListFilter):
    """When it was accepted. The list is ordered by that, so this narrows whatever leads."""

    title = "time"
    parameter_name = "within"
    names = ("within", "since", "until")
    template = "unfold/filters/filters_field.html"

    def __init__(self, request: HttpRequest, params: dict[str, Any], *more: Any) -> None:
        super().__init__(request, params, *more)
        for name in self.names:
            if name in params:
                self.used_parameters[name] = params.pop(name)[-1]

    def expected_parameters(self) -> list[str | None]:
        return [*self.names]

    def has_output(self) -> bool:
        return True

    def choices(self, _changelist: Any) -> Iterator[Any]:
        form: Any = TimeForm(self.used_parameters)
        yield {"form": form}

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        within = LENGTHS.get(str(self.used_parameters.get("within")))
        since, until = self._time("since"), self._time("until")
        if within:
            queryset = queryset.filter(created_at__gte=timezone.now() - within)
        if since:
            queryset = queryset.filter(created_at__gte=since)
        return queryset.filter(created_at__lte=until) if until else queryset

    def _time(self, name: str) -> datetime | None:
        try:
            time = parse_datetime(str(self.used_parameters.get(name, "")))
        except ValueError:
            return None
        return time and (time if time.tzinfo else time.replace(tzinfo=UTC))


def _open() -> list[str]:
    """The ids of notifications that have not ended, by the two small indexes that know them; one too many, if many."""
    in_work = Notification.objects.filter(worker_id__isnull=False).order_by("worker_id")
    due = Notification.objects.filter(worker_id=None, next_attempt_at__isnull=False)
    due = due.order_by("high_priority", "next_attempt_at")
    return [id for rows in (in_work, due) for id in rows.values_list("pk", flat=True)[: MOST_OPEN + 1]]
