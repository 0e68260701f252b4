"""The same id again: the same notification, or another one that has taken its id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from django.db.models import TextField
from django.db.models.functions import Cast

from deliveries.contract import PushRequest
from deliveries.models import Notification

#: Names one request of somebody's, not what is to be sent; and where none is given it is made up.
LEFT_ASIDE = frozenset({"correlation_id"})


@dataclass(frozen=True, slots=True)
class Known:
    """A notification that is in the ledger already."""

    status: str
    correlation_id: str
    request: PushRequest

    def differs_in(self, request: PushRequest) -> list[str]:
        """The fields in which that request is another one than ours."""
        return [
            field
            for field in PushRequest.model_fields
            if field not in LEFT_ASIDE and not _same(getattr(self.request, field), getattr(request, field))
        ]


def known(notification_ids: Iterable[str]) -> dict[str, Known]:
    """Those of the ids that are in the ledger."""
    rows = (
        Notification.objects.filter(pk__in=list(notification_ids))
        .annotate(text=Cast("request", TextField()))
        .values_list("pk", "status", "correlation_id", "text")
    )
    # orjson, as it read the request: of the digits that PostgreSQL writes for 1e30, json.loads would make an integer.
    return {
        pk: Known(status, correlation_id, PushRequest.model_validate(orjson.loads(text)))
        for pk, status, correlation_id, text in rows
    }


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON, where true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
