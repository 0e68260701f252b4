"""The states of notifications and deliveries, and the legal changes between them."""

from __future__ import annotations

from django.db import models


class Status(models.TextChoices):
    """One set of words for notifications and for their deliveries; the picture is docs/state-machine.md."""

    PENDING = "pending", "pending"
    SENDING = "sending", "sending"
    SENT = "sent", "sent"
    FAILED = "failed", "failed"
    SKIPPED = "skipped", "skipped"
    EXPIRED = "expired", "expired"
    CANCELLED = "cancelled", "cancelled"


#: Every legal change of status. Out of an end leads only a resend.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(Status) - {Status.PENDING},
    Status.SENDING: frozenset(Status) - {Status.SENDING},
    Status.SENT: frozenset({Status.PENDING}),
    Status.FAILED: frozenset({Status.PENDING}),
    Status.SKIPPED: frozenset({Status.PENDING}),
    Status.EXPIRED: frozenset({Status.PENDING}),
    Status.CANCELLED: frozenset({Status.PENDING}),
}

#: Where nothing more happens by itself.
ENDS: frozenset[Status] = frozenset(Status) - {Status.PENDING, Status.SENDING}
