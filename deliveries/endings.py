"""Endings in words: how a notification ended by its deliveries, and what is written down of a step that failed."""

from __future__ import annotations

from deliveries.ledger import Abandon, Attempted, DeadLettered
from deliveries.ledger.holding import NOT_TRIED
from deliveries.models import Status
from deliveries.outcomes import Ended, TryAgain
from deliveries.work import Delivery, Work

DEVICE_GONE = "device_gone"
DRY_RUN = "dry_run"
CRASH_LOOP = (
    "Its worker stopped {} times in a row while it had this notification in work, "
    "the last time with no other suspect beside it: it is not tried again."
)
ALL_DEAD = "Every device of this user is remembered as dead, or as another project's, so nothing was sent. {}"
UNREADABLE = "The request cannot be read as it stands in the ledger: {}"


def verdict(deliveries: list[Delivery]) -> tuple[Status, str, str]:
    """How a notification ended, by its deliveries: status, error code and reason.

    Where none was taken the latest attempt tells, and of that the devices that the user still has, those foremost that
    were tried.
    """
    if success := taken(deliveries):
        return success
    current = [d for d in deliveries if d.is_current] or deliveries
    telling = [d for d in current if d.error_code != DEVICE_GONE] or current
    tried = [d for d in telling if not d.error_message.startswith(NOT_TRIED)]
    if not tried:
        return telling[0].status, telling[0].error_code, ALL_DEAD.format(telling[0].error_message)
    worst = next((d for d in tried if d.exhausted), tried[0])
    if worst.exhausted:
        return worst.status, "exhausted", given_up(worst.attempts, worst.error_message)
    return worst.status, worst.error_code, worst.error_message


def taken(deliveries: list[Delivery]) -> tuple[Status, str, str] | None:
    """How a notification ends of which the provider took any delivery, or would have, on a dry run. None of others."""
    if any(d.accepted for d in deliveries):
        return Status.SENT, "", ""
    tried = next((d for d in deliveries if d.error_code == DRY_RUN), None)
    return (tried.status, tried.error_code, tried.error_message) if tried else None


def given_up(attempts: int, reason: str) -> str:
    return f"Given up after {attempts} attempts. The last of them: {reason}"


def what_ends_it(work: Work) -> Ended | None:
    """Why nothing more is to be sent, though something could be.

    It is cancelled, stops its workers, cannot be read, or is too late.
    """
    if work.cancel_reason:
        return cancelled(work.cancel_reason)
    if work.stops_workers:
        return Ended(Status.FAILED, "crash_loop", CRASH_LOOP.format(work.crashes))
    if work.unreadable:
        return Ended(Status.FAILED, "unreadable_request", UNREADABLE.format(work.unreadable))
    if work.time_left > 0:
        return None
    if not work.error_message:
        return Ended(Status.EXPIRED, "expired", "Its time was up before it could be sent.")
    return Ended(Status.EXPIRED, "expired", f"Its time was up. The last that happened: {work.error_message}")


def cancelled(reason: str) -> Ended:
    return Ended(Status.CANCELLED, "cancelled", reason)


def device_gone(work: Work, deliveries: list[Delivery]) -> Abandon | None:
    """Ends deliveries to devices that the user service no longer lists; None where there are none."""
    if not deliveries:
        return None
    code, reason = DEVICE_GONE, "The user service no longer lists this device."
    for delivery in deliveries:
        delivery.status, delivery.error_code, delivery.error_message = Status.FAILED, code, reason
    ids = [delivery.id for delivery in deliveries if delivery.id is not None]
    return Abandon(work.id, work.fence, Status.FAILED, code, reason, ids)


def attempted(work: Work, outcome: str, trouble: TryAgain, wait: float | None = None) -> Attempted:
    return Attempted(work.id, work.stage, outcome, trouble.code, trouble.reason, None, trouble.http_status, wait)


def dead_letter(work: Work, reason: str) -> DeadLettered:
    body = work.request.as_json()
    return DeadLettered(
        body,
        "exhausted",
        [reason],
        work.id,
        work.request.correlation_id,
        fence=work.fence,
        copy_owed=True,
    )
