"""What happened to the notifications of the sample: every ending, with the words that the service has for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from deliveries.endings import given_up
from deliveries.models import Status
from deliveries.samples.traffic import DAY, OUTAGE_MINUTES, STORM_MINUTES
from providers import fcm_verdict

#: By the name of its row, what the provider's table says to an operator.
FCM = {row.name: row.advice for row in fcm_verdict.TABLE}

#: The minutes of a day, but for the storm and the outage.
ANY = tuple(ago for ago in range(2, DAY) if ago not in STORM_MINUTES and ago not in OUTAGE_MINUTES)
STORM = tuple(STORM_MINUTES)
OUTAGE = tuple(OUTAGE_MINUTES)


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the history: an attempt that did not succeed at once, and the seconds until the next."""

    stage: str
    outcome: str
    code: str
    reason: str
    http_status: int | None = None
    wait: float | None = None
    duration: float = 0.06


@dataclass(frozen=True, slots=True)
class Device:
    """How the delivery to one device ended."""

    status: Status = Status.SENT
    code: str = ""
    reason: str = ""
    exhausted: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """How `times` of the notifications went. `{user}` and `{template}` stand in a reason for theirs."""

    times: int
    status: Status
    code: str = ""
    reason: str = ""
    devices: tuple[Device, ...] = ()
    steps: tuple[Step, ...] = ()
    when: tuple[int, ...] = ANY
    template: str = ""
    #: What the notification was asked with, beyond the usual.
    asked: dict[str, Any] = field(default_factory=dict)
    #: The state of its dead letter, where it has one.
    letter: str = ""


TAKEN = Device()
GONE = Device(Status.FAILED, "UNREGISTERED", FCM["unregistered"])
FOREIGN = Device(Status.FAILED, "SENDER_ID_MISMATCH", FCM["another_senders_token"])
LATE = "Its time was up. The last that happened: "
BUSY = FCM["server_trouble"].format(http=503)
LOST = "FCM may have accepted the push, but its answer was lost: the connection was closed."
DOWN = "The user service answered 500."
NOT_CALLED = "The user service is failing and not called for now."
CANCELLED = "Cancelled: the order was withdrawn."

UNREGISTERED = Step("send", "failed", "UNREGISTERED", FCM["unregistered"], 404)
MISMATCH = Step("send", "failed", "SENDER_ID_MISMATCH", FCM["another_senders_token"], 403)
UNAVAILABLE = Step("send", "retry", "UNAVAILABLE", BUSY, 503, 11.6)
UNAVAILABLE_AT_LAST = Step("send", "failed", "UNAVAILABLE", BUSY, 503)
UNKNOWN = Step("send", "unknown", "unknown_outcome", LOST, None, 2.4, 4.8)
THROTTLED = Step("send", "waiting", "RESOURCE_EXHAUSTED", FCM["project_quota"], 429, 31.0, 0.02)
LOOKUP = Step("resolve", "retry", "user_service_error", DOWN, 500, 2.0)
LOOKUP_AGAIN = Step("resolve", "retry", "user_service_error", DOWN, 500, 4.0)
LOOKUP_AT_LAST = Step("resolve", "failed", "user_service_error", DOWN, 500)
NOBODY_TO_ASK = Step("resolve", "waiting", "user_service_unavailable", NOT_CALLED, None, 30.0, 0.0)

PLOTS = (
    Plot(190, Status.SENT, devices=(TAKEN,)),
    Plot(24, Status.SENT, devices=(TAKEN, TAKEN)),
    Plot(6, Status.SENT, devices=(TAKEN, TAKEN, TAKEN)),
    Plot(8, Status.SENT, devices=(TAKEN, GONE), steps=(UNREGISTERED,)),
    Plot(6, Status.SENT, devices=(TAKEN,), steps=(UNAVAILABLE,)),
    Plot(2, Status.SENT, devices=(TAKEN,), steps=(UNKNOWN,)),
    Plot(14, Status.SENT, devices=(TAKEN,), steps=(THROTTLED,), when=STORM),
    Plot(4, Status.SENT, devices=(TAKEN,), steps=(LOOKUP, NOBODY_TO_ASK), when=OUTAGE),
    Plot(9, Status.FAILED, GONE.code, GONE.reason, (GONE,), (UNREGISTERED,)),
    Plot(1, Status.FAILED, FOREIGN.code, FOREIGN.reason, (FOREIGN,), (MISMATCH,)),
    Plot(
        2,
        Status.FAILED,
        "template_missing",
        "The template service cannot render template {template}: template not found",
        template="spring_sale_v2",
    ),
    Plot(2, Status.FAILED, "unknown_user", "The user service has no user {user}: user not found"),
    Plot(
        4,
        Status.FAILED,
        "exhausted",
        given_up(3, DOWN),
        steps=(LOOKUP, LOOKUP_AGAIN, LOOKUP_AT_LAST),
        when=OUTAGE,
        letter="open",
    ),
    Plot(
        1,
        Status.FAILED,
        "exhausted",
        given_up(3, BUSY),
        (Device(Status.FAILED, "UNAVAILABLE", BUSY, exhausted=True),),
        (UNAVAILABLE, UNAVAILABLE, UNAVAILABLE_AT_LAST),
        letter="discarded",
    ),
    Plot(
        1,
        Status.FAILED,
        "unknown_outcome",
        LOST,
        (Device(Status.FAILED, "unknown_outcome", LOST),),
        (UNKNOWN,),
        asked={"guarantee": "at_most_once"},
        template="payment_received",
    ),
    Plot(11, Status.SKIPPED, "opted_out", "User {user} has opted out of push notifications."),
    Plot(4, Status.SKIPPED, "no_device", "User {user} has no device registered for push."),
    Plot(
        6,
        Status.EXPIRED,
        "expired",
        LATE + FCM["project_quota"],
        (Device(Status.EXPIRED, "expired", LATE + FCM["project_quota"]),),
        (THROTTLED,),
        STORM,
        "otp",
        {"ttl": 30},
    ),
    Plot(2, Status.EXPIRED, "expired", "Its time was up before it could be sent.", template="otp", asked={"ttl": 0}),
    Plot(3, Status.CANCELLED, "cancelled", CANCELLED, template="order_shipped"),
)

#: Messages that could not be read: the body, the reason, and the state of the dead letter.
UNREADABLE = (
    (
        '{"notification_id": "promo-880", "user_id": "marta.silva", "template_id": "welcome", "ttl": "soon"}',
        "ttl: should be a whole number",
        "open",
    ),
    ('{"notification_id": "promo-881", "template_id": "welcome"}', "user_id: is needed", "open"),
    (
        '{"user_id": "tom.becker", "template_id": ',
        "the message is not JSON: unexpected end of data: line 1 column 42 (char 41)",
        "discarded",
    ),
)
