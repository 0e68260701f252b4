"""What happened to a notification, in order: its stages, every attempt, and what operators did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deliveries.console.badges import BAD, BUSY, GOOD, QUIET, STATUS, WARNING, Look
from deliveries.console.columns import age, brief, device
from deliveries.masking import conceal_text
from deliveries.models import ENDS, AuditEntry, Notification, PushAttempt, PushDelivery, Status
from deliveries.models.samples import SOURCE

STAGES = {
    "resolve": "User lookup",
    "render": "Rendering",
    "send": "Attempt",
    "report": "Report to the gateway",
    "worker": "Its worker",
}
A_MOMENT = timedelta(seconds=1)
LOOKS = {"failed": BAD, "retry": WARNING, "waiting": BUSY, "unknown": WARNING}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of it. `since` is how long after the line before."""

    at: datetime
    title: str
    detail: str = ""
    look: Look = QUIET
    since: str = ""

    @property
    def when(self) -> str:
        return f"{self.at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]

    @property
    def age(self) -> str:
        return age(self.at)


#: By the source of a notification, how it came.
CAME = {
    "queue": "Received from the queue",
    "api": "Received by the API",
    "redrive": "Redriven",
    SOURCE: "Made up by the demo",
}


def steps(
    notification: Notification,
    deliveries: Sequence[PushDelivery],
    attempts: Sequence[PushAttempt],
    actions: Iterable[AuditEntry],
) -> list[Step]:
    """All lines in order, what is still to come last, each with the time since the one before."""
    told = [
        *_attempts(notification, deliveries, attempts),
        *(_accepted(delivery, attempts) for delivery in deliveries if delivery.sent_at),
        *_stages(notification),
        *map(_action, actions),
    ]
    return list(_spaced(sorted(told, key=lambda step: step.at)))


def _stages(notification: Notification) -> Iterator[Step]:
    came = CAME.get(notification.source, notification.source)
    yield Step(notification.created_at, f"{came} and accepted", f"for user {notification.user_id}", GOOD)
    if notification.resolved_at:
        yield Step(notification.resolved_at, "User looked up", look=GOOD)
    if notification.rendered_at:
        template = notification.template_id
        yield Step(notification.rendered_at, "Template rendered" if template else "Text taken", template or "", GOOD)
    if notification.ended_at and notification.status in ENDS:
        look = STATUS[Status(notification.status)]
        code = notification.error_code if notification.error_code != notification.status else ""
        yield Step(notification.ended_at, f"Ended: {notification.status}", code, look)
    if notification.reported_at:
        yield Step(notification.reported_at, "Reported to the gateway", look=GOOD)
    if notification.report_refused_at:
        yield Step(notification.report_refused_at, "Refused by the gateway", notification.report_error, BAD)
    if notification.next_attempt_at and notification.status not in ENDS:
        yield Step(notification.next_attempt_at, "Due again", look=BUSY)


def _attempts(
    notification: Notification, deliveries: Sequence[PushDelivery], attempts: Sequence[PushAttempt]
) -> Iterator[Step]:
    to = {delivery.pk: device(delivery) for delivery in deliveries}
    for attempt in attempts:
        number = _number(attempt, attempts)
        title = f"{STAGES.get(attempt.stage, attempt.stage)}{f' {number}' if number else ''}: {attempt.outcome}"
        said = (
            to.get(attempt.delivery_id or 0),
            None if attempt.duration_ms is None else f"took {brief(attempt.duration_ms / 1000)}",
            attempt.http_status and f"HTTP {attempt.http_status}",
            attempt.error_code,
            conceal_text(attempt.error_message),
            None if attempt.retry_after is None else f"next try after {brief(attempt.retry_after)}",
        )
        look = LOOKS.get(attempt.outcome, QUIET)
        yield Step(_known(attempt, notification), title, " · ".join(str(part) for part in said if part), look)


def _known(attempt: PushAttempt, notification: Notification) -> datetime:
    """When it was written down; but the last attempt is, a moment later, with the end that it brought about."""
    end = notification.ended_at
    return end if end and timedelta(0) < attempt.created_at - end < A_MOMENT else attempt.created_at


def _number(attempt: PushAttempt, attempts: Sequence[PushAttempt]) -> int:
    """Which attempt to its device it was; 0 for other stages."""
    if attempt.stage != "send" or attempt.delivery_id is None:
        return 0
    return sum(each.delivery_id == attempt.delivery_id and each.pk <= attempt.pk for each in attempts)


def _accepted(delivery: PushDelivery, attempts: Sequence[PushAttempt]) -> Step:
    """The send that succeeded, of which the history has no line."""
    assert delivery.sent_at is not None
    before = sum(each.delivery_id == delivery.pk and each.created_at < delivery.sent_at for each in attempts)
    took = delivery.sending_at and delivery.sending_at <= delivery.sent_at and delivery.sent_at - delivery.sending_at
    said = (device(delivery), isinstance(took, timedelta) and f"took {brief(took.total_seconds())}")
    title = f"Attempt {before + 1}: accepted by {'FCM' if delivery.provider.startswith('fcm') else delivery.provider}"
    return Step(delivery.sent_at, title, " · ".join(str(part) for part in said if part), GOOD)


def _action(entry: AuditEntry) -> Step:
    return Step(entry.at, f"{entry.actor}: {entry.action}", conceal_text(entry.reason), BUSY)


def _spaced(told: Sequence[Step]) -> Iterator[Step]:
    for number, step in enumerate(told):
        since = (step.at - told[number - 1].at).total_seconds() if number else None
        words = "" if since is None else f"+{brief(since)}"
        yield Step(step.at, step.title, step.detail, step.look, words)
