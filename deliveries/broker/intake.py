"""Consumes RabbitMQ in batches: whatever has arrived is data for one actor, acked when committed.

Dramatiq's own consumer takes one message at a time, believes what it reads, and acks through
whichever connection is current. Here a body is never decoded, and a batch is settled only by the
consumer that delivered it and only when its actor has set `committed`.
See docs/decisions/0004-broker.md.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from time import monotonic
from typing import Any

import orjson
from dramatiq import Message, MessageProxy
from dramatiq.broker import Consumer
from dramatiq.errors import ConnectionClosed
from pika import BlockingConnection
from pika.adapters.blocking_connection import BlockingChannel
from pika.connection import Parameters
from pika.exceptions import AMQPError, ConnectionWrongStateError

from deliveries.broker.connection import AWAY, LenientConnection, connecting, hang_up
from deliveries.broker.envelopes import Arrival, Batch, Envelope

MAX_BATCH_MESSAGES = 100
MAX_BATCH_BYTES = 1024 * 1024
MAX_ID_LENGTH = 255
REQUEUE_AFTER = 1.0  # seconds; a database that is away is not asked more often than this

logger = logging.getLogger(__name__)


class Delivery(MessageProxy):
    """One call of an actor, the tags it answers for, and the only consumer that may settle it."""

    def __init__(self, message: Message[Any], consumer: "Intake", tags: list[int]) -> None:
        super().__init__(message)
        self.consumer = consumer
        self.tags = tags
        self.done = False


class Intake(Consumer):
    """Hands over `push.queue` to the actor `receive`, at most `limit` batches at a time.

    Without the limit a busy queue is handed over in crumbs: one thread made 701/s in batches of 5,
    and 2,650/s in batches of 99 once it waited. Meanwhile pika reads on, beats and runs our acks.
    """

    actor_name = "receive"

    def __init__(
        self,
        queue_name: str,
        *,
        parameters: Sequence[Parameters],
        prepare: Callable[[BlockingConnection], None],
        prefetch: int,
        limit: int,
        timeout: int,
    ) -> None:
        """`timeout` in ms; raises ConnectionClosed, and what `prepare` raises."""
        self.queue_name = queue_name
        self.limit = limit
        self.outstanding: list[Delivery] = []  # oldest first; touched by the consumer's thread only
        self.returned: deque[Delivery] = deque()  # filled by the workers' threads
        self.came_round: float | None = monotonic()  # for the watchdog; None once RabbitMQ is away
        try:
            with connecting():
                self.connection = BlockingConnection(parameters, _impl_class=LenientConnection)
            self.channel = self._open_channel(prepare, prefetch)
        except AWAY as error:
            raise _closed(error) from None
        self.arrivals = self.channel.consume(queue_name, inactivity_timeout=timeout / 1000)

    def _open_channel(self, prepare: Callable[[BlockingConnection], None], prefetch: int) -> BlockingChannel:
        try:
            prepare(self.connection)
            channel = self.connection.channel()
            channel.basic_qos(prefetch_count=prefetch)
        except Exception:
            self.close()
            raise
        return channel

    def __next__(self) -> Delivery | None:
        """A batch, or None when none is there or none may be given, within about a second; raises ConnectionClosed."""
        self.came_round = monotonic()
        try:
            if len(self.outstanding) >= self.limit:
                self.connection.process_data_events(1)
                return None
            arrivals = self._gather()
            return self._hand_over(arrivals) if arrivals else None
        except StopIteration:
            raise _closed(f"RabbitMQ cancelled the consumer of {self.queue_name!r}") from None
        except (AMQPError, AssertionError) as error:
            raise _closed(error) from None

    def _gather(self) -> list[Arrival]:
        """What pika has already read, or the first message that comes within the timeout."""
        arrivals: list[Arrival] = []
        size = 0
        while not arrivals or self.channel.get_waiting_message_count():
            method, properties, body = next(self.arrivals)
            if method is None:
                break
            arrivals.append((method, properties, body))
            size += len(body)
            if len(arrivals) == MAX_BATCH_MESSAGES or size >= MAX_BATCH_BYTES:
                break
        return arrivals

    def _hand_over(self, arrivals: list[Arrival]) -> Delivery | None:
        return self._deliver(Batch(map(Envelope.of, arrivals)), arrivals)

    def _deliver(self, argument: object, arrivals: list[Arrival]) -> Delivery:
        message: Message[Any] = Message(self.queue_name, self.actor_name, (argument,), {}, {})
        delivery = Delivery(message, self, [method.delivery_tag for method, _, _ in arrivals])
        self.outstanding.append(delivery)
        return delivery

    def ack(self, message: MessageProxy) -> None:
        """Takes a delivery back from its actor, in a worker's thread; raises nothing.

        After a reconnect the tags of the old channel mean other messages on the new one, so what
        another consumer delivered is not ours to settle: RabbitMQ has already queued it again.
        """
        if not isinstance(message, Delivery) or message.consumer is not self:
            logger.info("left %s to RabbitMQ: it came over a connection that is gone", message)
            return
        self.returned.append(message)
        try:
            self.connection.add_callback_threadsafe(self._settle)
        except ConnectionWrongStateError:
            logger.info("left %s to RabbitMQ: the connection is gone", message)

    nack = ack

    def _is_committed(self, delivery: Delivery) -> bool:
        batch: Batch = delivery.args[0]
        return batch.committed

    def _settle(self) -> None:
        refused = []
        while self.returned:
            delivery = self.returned.popleft()
            delivery.done = self._is_committed(delivery)
            if not delivery.done:
                refused.append(delivery)
        self._acknowledge()
        for delivery in refused:
            self.connection.call_later(REQUEUE_AFTER, partial(self._requeue, delivery))

    def _acknowledge(self) -> None:
        """`multiple` covers every earlier tag: it may only end a run that starts at the oldest."""
        run = list(takewhile(lambda delivery: delivery.done, self.outstanding))
        apart = [delivery for delivery in self.outstanding[len(run) :] if delivery.done]
        self.outstanding = [delivery for delivery in self.outstanding if not delivery.done]
        try:
            if run:
                self.channel.basic_ack(run[-1].tags[-1], multiple=True)
            for delivery in apart:
                for tag in delivery.tags:
                    self.channel.basic_ack(tag)
        except AMQPError as error:
            logger.info("lost the connection to RabbitMQ while acking (%r)", error)

    def _requeue(self, delivery: Delivery) -> None:
        self.outstanding.remove(delivery)
        try:
            for tag in delivery.tags:
                self.channel.basic_nack(tag, requeue=True)
        except AMQPError as error:
            logger.info("lost the connection to RabbitMQ while handing back (%r)", error)

    def close(self) -> None:
        """Acks what is done and hangs up, which hands back the rest; raises nothing.

        Dramatiq calls it once nobody else uses the connection; an exception would end its thread.
        """
        self.came_round = None
        try:
            self._settle()
            hang_up(self.connection)
        except Exception as error:  # noqa: BLE001
            logger.debug("the connection to RabbitMQ was already gone: %r", error)


class WakeIntake(Intake):
    """Hands over the ids of our wake-up queue to the actor `resume`; acked however that ends."""

    actor_name = "resume"

    def _hand_over(self, arrivals: list[Arrival]) -> Delivery | None:
        ids = dict.fromkeys(id_ for _, _, body in arrivals for id_ in self._ids(body))
        delivery = self._deliver(list(ids), arrivals)
        if ids:
            return delivery
        delivery.done = True
        self._acknowledge()
        return None

    def _ids(self, body: bytes) -> list[str]:
        try:
            return wake_ids(body)
        except ValueError:
            logger.warning("dropped a malformed wake-up of %d bytes", len(body))
            return []

    def _is_committed(self, delivery: Delivery) -> bool:  # noqa: ARG002
        return True


def _closed(reason: object) -> ConnectionClosed:
    """What makes Dramatiq start a consumer anew, with one log line."""
    return ConnectionClosed(reason)  # type: ignore[no-untyped-call]


def wake_ids(body: bytes) -> list[str]:
    """The notification ids of a wake-up, a JSON array of strings; raises ValueError."""
    ids = orjson.loads(body)
    if not isinstance(ids, list) or not all(map(_is_id, ids)):
        raise ValueError("not a list of ids")
    return ids


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH and "\x00" not in value
