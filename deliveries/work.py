"""What a worker holds in its hands: a notification in work and its deliveries, as the ledger last showed them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deliveries.contract import PushRequest
from deliveries.models import ENDS, Status
from providers.base import Target

#: A notification with which so many workers in a row have stopped is not carried any more.
CRASH_LIMIT = 3


@dataclass(slots=True)
class Delivery:
    """One device of a notification in work. `id` is None until the ledger has the row."""

    notification_id: str
    user_id: str
    device_token: str = field(repr=False)
    platform: str
    title: str
    body: str
    data: dict[str, Any]
    provider: str
    target: Target = "token"
    id: int | None = None
    status: Status = Status.PENDING
    attempts: int = 0
    due_in: float = 0.0
    error_code: str = ""
    error_message: str = ""
    send_token: int = 0
    brake_round: int | None = None  # the brake on whose ramp it has a place
    urgent: bool = False  # its notification has high priority
    alive_at: datetime | None = None  # since when its device is known, or wished, to live
    once_dead: bool = False  # its device was called dead before: whether it is, this send tells
    exhausted: bool = False  # its attempts are used up
    is_current: bool = True  # part of this attempt of the notification: an operator may have had others sent again
    sent_before: bool = False  # accepted before somebody had it sent again

    @property
    def accepted(self) -> bool:
        """Whether the provider has ever taken it."""
        return self.status == Status.SENT or self.sent_before

    def begin(self, id: int) -> None:
        """The ledger has claimed this send; `id` is its row's."""
        self.id, self.status = id, Status.SENDING

    def hold(self, status: Status, code: str, reason: str, wait: float | None) -> None:
        """It must not begin now: it waits for so many seconds, or is over."""
        self.status, self.due_in = status, wait or 0.0
        self.error_code, self.error_message = code, reason


@dataclass(slots=True)
class Work:
    """A notification in work: the request, who may write its rows (`fence`), and how far it has come."""

    request: PushRequest
    fence: int
    high_priority: bool
    expires_at: float  # on this process's monotonic clock, in seconds
    status: Status = Status.PENDING
    attempts: int = 0
    error_code: str = ""
    error_message: str = ""
    deliveries: list[Delivery] = field(default_factory=list)
    ended_at: datetime | None = None
    report_attempts: int = 0
    reported_status: Status | None = None  # what the gateway was told before an operator had it sent again
    resolve_again: bool = False  # its devices and its text are to be fetched anew
    cancel_reason: str = ""
    crashes: int = 0  # how often in a row its worker stopped while it had it in work
    unreadable: str = ""  # what is wrong with the request as it is stored; it holds no more than the ids then
    stage: str = ""  # the step it is in, for its history
    id: str = field(init=False)

    def __post_init__(self) -> None:
        self.id = self.request.notification_id

    @property
    def ended(self) -> bool:
        return self.status in ENDS

    @property
    def unfinished(self) -> bool:
        """Whether there is still something to send, or it is not known yet."""
        return (
            not self.deliveries
            or self.resolve_again
            or any(delivery.status == Status.PENDING for delivery in self.deliveries)
        )

    @property
    def stops_workers(self) -> bool:
        """Whether to carry it on would only stop the next worker."""
        return self.crashes >= CRASH_LIMIT

    @property
    def time_left(self) -> float:
        """Seconds until it expires; negative afterwards."""
        return self.expires_at - time.monotonic()
