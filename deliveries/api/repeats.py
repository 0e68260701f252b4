"""The same id again: the same notification, or another one that has taken its id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from django.db.models import TextField
from django.db.models.functions import Cast
from pydantic import ValidationError

from deliveries.contract import PushRequest
from deliveries.models import Notification
from deliveries.neighbours.messages import tapped

#: Names one request of somebody's, not what is to be sent; and where none is given it is made up.
LEFT_ASIDE = frozenset({"correlation_id"})

#: What was ignored until each stored request had a `dry_run`: of one without, nobody knows whether it said them.
IGNORED_ONCE = frozenset(
    {
        "click_action",
        "badge",
        "sound",
        "channel_id",
        "collapse_key",
        "analytics_label",
        "data_only",
        "dry_run",
    }
)


@dataclass(frozen=True, slots=True)
class Known:
    """A notification that is in the ledger already."""

    status: str
    correlation_id: str
    request: PushRequest

    def differs_in(self, request: PushRequest) -> list[str]:
        """The fields in which that request is another one than ours."""
        said = self.request.model_fields_set
        unknown = LEFT_ASIDE if "dry_run" in said else LEFT_ASIDE | (IGNORED_ONCE - said)
        return [
            field
            for field in PushRequest.model_fields
            if field not in unknown and not _same(getattr(self.request, field), getattr(request, field))
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
        pk: Known(status, correlation_id, _stored(pk, orjson.loads(text))) for pk, status, correlation_id, text in rows
    }


def _stored(notification_id: str, document: Any) -> PushRequest:
    """The request as it would be read today; one without any content, which nobody sends, where it is unreadable."""
    try:
        return PushRequest.model_validate(tapped(document) if isinstance(document, dict) else document)
    except ValidationError:
        return PushRequest.model_construct(notification_id=notification_id, correlation_id="")


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON, where true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
