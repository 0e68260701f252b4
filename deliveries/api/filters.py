"""Which deliveries are asked for. Each filter is written so that an index serves it, however many rows there are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from django.db.models import Q, QuerySet
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from rest_framework.request import Request

from deliveries import implied
from deliveries.api.bodies import valid
from deliveries.api.errors import Refused
from deliveries.api.paging import CURSOR, LARGEST_PAGE, PAGE
from deliveries.api.request_schema import MOMENT
from deliveries.faults import NO_CONTROL
from deliveries.models import PushDelivery, Status
from providers.registry import names

#: Ids and `created_at` are given in one transaction, and none of ours is open for as long as this: so a time bounds the
#: ids, and a page far back is found without reading all that is newer.
LONGEST_TRANSACTION = timedelta(minutes=10)

PROVIDERS = tuple(names())


def _in_utc(value: datetime) -> datetime:
    """PostgreSQL knows no zone that is 16 hours away."""
    return value.astimezone(UTC)


def _written_out(value: object) -> object:
    """A time as ISO 8601 has it, not one of the numbers that could be one too."""
    if not isinstance(value, str) or not MOMENT.fullmatch(value):
        raise ValueError(
            "should be an ISO 8601 time with its zone, in the years 2000 to 9998, as 2026-01-31T12:00:00Z; "
            "a + is written %2B in an address"
        )
    return value


def _known(provider: str) -> str:
    """No index serves this filter: a name that nobody has would read everything, to find nothing."""
    if provider not in PROVIDERS:
        raise ValueError(f"should be one of: {', '.join(PROVIDERS)}")
    return provider


Text = Annotated[str, Field(min_length=1, max_length=255, pattern=NO_CONTROL)]
ProviderName = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": list(PROVIDERS)})]
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_written_out),
    AfterValidator(_in_utc),
    Field(json_schema_extra={"pattern": MOMENT.pattern}),
]


class DeliveryFilters(BaseModel):
    """The parameters of the list of deliveries; each may be given once, and no others."""

    model_config = ConfigDict(extra="forbid")

    status: Status | None = Field(None, description="how it stands")
    error_code: Text | None = Field(None, description="the provider's own word, such as UNREGISTERED")
    user_id: Text | None = None
    notification_id: Text | None = None
    provider: ProviderName | None = Field(None, description="who carries it, such as fcm")
    since: Moment | None = Field(None, description="created at this time or later; ISO 8601 with its zone")
    until: Moment | None = Field(None, description="created at this time or earlier")
    cursor: str | None = Field(None, pattern=CURSOR.pattern, description="from `next` or `previous` of an answer")
    page_size: int = Field(PAGE, ge=1, le=LARGEST_PAGE)


def asked(request: Request) -> DeliveryFilters:
    """Raises Refused with each parameter at fault."""
    given = request.query_params.lists()
    twice = [(name, "is given more than once") for name, values in given if len(values) > 1]
    if twice:
        raise Refused.for_faults("invalid_request", twice)
    return valid(DeliveryFilters, request.query_params.dict())


def narrowed(deliveries: QuerySet[PushDelivery], filters: DeliveryFilters) -> QuerySet[PushDelivery]:
    """Those that are asked for."""
    exact = filters.model_dump(
        include={"status", "error_code", "user_id", "notification_id", "provider"}, exclude_none=True
    )
    return deliveries.filter(implied.by(filters.status, PushDelivery), *_in_time(filters), **exact)


def _in_time(filters: DeliveryFilters) -> list[Q]:
    conditions = []
    if filters.since:
        older = PushDelivery.objects.filter(created_at__lt=filters.since - LONGEST_TRANSACTION)
        conditions.append(Q(created_at__gte=filters.since, id__gt=_first_id(older.order_by("-created_at"), 0)))
    if filters.until:
        newer = PushDelivery.objects.filter(created_at__gt=filters.until + LONGEST_TRANSACTION)
        conditions.append(Q(created_at__lte=filters.until, id__lt=_first_id(newer.order_by("created_at"), 2**63 - 1)))
    return conditions


def _first_id(deliveries: QuerySet[PushDelivery], otherwise: int) -> int:
    return deliveries.values_list("id", flat=True).first() or otherwise
