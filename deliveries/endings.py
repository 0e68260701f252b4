"""Endings in words: how a notification ended by its deliveries, and what is written down of a step that failed."""

from __future__ import annotations

from deliveries.ledger import Attempted, DeadLettered
from deliveries.models import Status
from deliveries.outcomes import TryAgain
from deliveries.work import Delivery, Work


def verdict(deliveries: list[Delivery]) -> tuple[Status, str, str]:
    """How a notification ended, by its deliveries: status, error code and reason. Sent when any of them is."""
    if any(d.status == Status.SENT for d in deliveries):
        return Status.SENT, "", ""
    worst = next((d for d in deliveries if d.exhausted), deliveries[0])
    if worst.exhausted:
        return worst.status, "exhausted", given_up(worst.attempts, worst.error_message)
    return worst.status, worst.error_code, worst.error_message


def given_up(attempts: int, reason: str) -> str:
    return f"Given up after {attempts} attempts. The last of them: {reason}"


def expired(work: Work) -> str:
    if work.error_message:
        return f"Its time was up before it could be sent. Until then: {work.error_message}"
    return "Its time was up before it could be sent."


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
