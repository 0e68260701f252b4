"""What a status implies of a row's other columns: said along with it, an index of such rows alone is of use."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, Q

from deliveries.models import ENDS, Notification, PushDelivery, Status

#: A notification that has not ended is in somebody's hand, or due at some time; so is that of such a delivery.
OPEN: dict[type[Model], Q] = {
    Notification: Q(worker_id__isnull=False) | Q(worker_id=None, next_attempt_at__isnull=False),
    PushDelivery: Q(notification__worker_id__isnull=False)
    | Q(notification__worker_id=None, notification__next_attempt_at__isnull=False),
}


def by(status: str | None, model: type[Any]) -> Q:
    """What is true of every row of that status anyway."""
    if status is None or status == Status.SENT:
        return Q()
    return ~Q(error_code="") if status in ENDS else OPEN[model]
