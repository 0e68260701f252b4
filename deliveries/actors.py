"""The actors: they accept and return. Everything else about a notification happens in the engine."""

from __future__ import annotations

import logging
from typing import Any

import dramatiq
from django.conf import settings

from deliveries.broker import Batch, Envelope, NotPublished
from deliveries.contract import InvalidMessage, read
from deliveries.ledger import Accept, DeadLettered
from deliveries.middleware import running_engine
from deliveries.neighbours.profiles import in_force
from deliveries.outcomes import NotAccepting
from deliveries.watchdog import at_work

logger = logging.getLogger(__name__)

PUSH = settings.PUSH
PROFILE = in_force(PUSH)


@dramatiq.actor(queue_name=PUSH.rabbitmq_queue)
def receive(messages: Any) -> None:
    """Accepts a batch of push requests: it is committed once the ledger has each as a notification or a dead letter.

    What a stopping engine does not accept stays uncommitted, and goes back to RabbitMQ.
    """
    batch = Batch.of(messages)
    with at_work():
        accepts, dead_letters = _read(batch)
    try:
        running_engine().accept(accepts, dead_letters)
    except NotAccepting:
        return
    _copy(dead_letters)
    batch.committed = True


@dramatiq.actor(queue_name=f"{PUSH.rabbitmq_queue}.resume")
def resume(ids: list[str]) -> None:
    """A wake-up: these notifications have just become due. A lost one costs a second, until the dispatcher looks."""
    running_engine().resume(ids)


def _read(batch: Batch) -> tuple[list[Accept], list[DeadLettered]]:
    accepts, dead_letters = [], []
    for envelope in batch:
        try:
            request = read(
                envelope.body,
                message_id=envelope.message_id,
                correlation_id=envelope.correlation_id,
                priority=envelope.priority,
                trust_tokens=PUSH.trust_message_tokens,
            )
        except InvalidMessage as invalid:
            dead_letters.append(_dead_letter(envelope, invalid))
        else:
            accepts.append(Accept(request, "queue", PROFILE.is_high(request.priority), PUSH.notification_ttl))
    return accepts, dead_letters


def _dead_letter(envelope: Envelope, invalid: InvalidMessage) -> DeadLettered:
    logger.warning(
        "A message was not accepted and is a dead letter",
        extra={"notification_id": invalid.notification_id, "reasons": invalid.reasons},
    )
    return DeadLettered(
        envelope.body,
        "invalid_message",
        invalid.reasons,
        invalid.notification_id,
        envelope.correlation_id or "",
        report_owed=invalid.notification_id is not None and PUSH.api_gateway_url is not None,
    )


def _copy(letters: list[DeadLettered]) -> None:
    """Puts copies on the failed queue, or leaves them to the dead-letter office where RabbitMQ takes none.

    Sent back instead, such messages would come again every second, before all others, and as many as are prefetched
    would let nothing else in. Raises NotPublished for one that the ledger did not keep whole: it has to come again.
    """
    for number, letter in enumerate(letters):
        try:
            _publish(letter)
        except NotPublished as error:
            logger.warning("Dead letters could not be copied to the failed queue; the copies are owed: %s", error)
            owed = letters[number:]
            running_engine().owe_copies([letter for letter in owed if letter.is_whole])
            if not all(letter.is_whole for letter in owed):
                raise
            return


def _publish(letter: DeadLettered) -> None:
    """Puts a copy on the failed queue. Raises NotPublished when that is not confirmed."""
    headers = {"x-code": letter.code, "x-notification-id": letter.notification_id or ""}
    dramatiq.get_broker().publish_dead_letter(letter.body, "; ".join(letter.reasons), headers)  # type: ignore[attr-defined]
