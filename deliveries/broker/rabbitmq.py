"""Dramatiq's RabbitMQ broker, with a way in that no message can break and nothing that gets lost.

Dramatiq's own queues for delayed and dead messages are never made: a wait is a row in the ledger,
and a dead letter goes where everybody looks for it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from dramatiq import Message, Middleware, Worker
from dramatiq.broker import Broker, Consumer
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from pika import BasicProperties
from pika.exceptions import AMQPError, ConnectionBlockedTimeout, NackError

from deliveries.broker.connection import (
    AWAY,
    NoAnswer,
    at_most,
    connecting,
    hang_up,
    impatient,
    keep_bodies_out_of_logs,
    with_defaults,
)
from deliveries.broker.intake import Intake, WakeIntake
from deliveries.broker.topology import Topology, TopologyConflict
from deliveries.broker.waking import Waker

DEFAULT_PREFETCH = 200
# Headers travel in one frame (128 KiB), their names in 255 bytes.
MAX_HEADERS = 40
MAX_HEADER_NAME = 255
MAX_HEADER_VALUE = 2_000
PERSISTENT = 2
CONFIRM_PATIENCE = 10.0  # seconds
WAKE_PATIENCE = 1.0  # seconds; a request waits for it


class NotPublished(Exception):
    """RabbitMQ did not confirm a dead letter: its copy is owed, or its original must not be acked."""


class ThreadCount(Middleware):
    """Lets as many batches out as the worker has threads, unless the broker was told a number."""

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        if isinstance(broker, PushBroker):
            broker.batches = broker.batches or worker.worker_threads


class PushBroker(RabbitmqBroker):
    """Takes `push.queue` in batches, wakes workers, publishes dead letters; always with confirms.

    Parameters:
      url: one AMQP URL, or several for a cluster, separated by semicolons.
      topology: the names in RabbitMQ.
      prefetch: how many messages a worker process holds unacked, at most.
      batches: how many batches may be with actors at a time; None for one per thread.
    """

    def __init__(
        self,
        *,
        url: str,
        topology: Topology | None = None,
        prefetch: int = DEFAULT_PREFETCH,
        batches: int | None = None,
        middleware: list[Middleware] | None = None,
    ) -> None:
        keep_bodies_out_of_logs()
        super().__init__(
            confirm_delivery=True,
            url=[with_defaults(one) for one in url.split(";")],
            middleware=[ThreadCount(), *(middleware or [])],
        )
        self.topology = topology or Topology()
        self.prefetch = prefetch
        self.batches = batches
        self._waker = Waker([impatient(p, WAKE_PATIENCE) for p in self.parameters], self.topology.wake_queue)

    def declare_queue(self, queue_name: str, *, ensure: bool = False) -> None:  # noqa: ARG002
        """Notes a queue for workers; RabbitMQ is asked when they consume. Raises ValueError."""
        ours = (self.topology.queue, self.topology.wake_queue)
        if queue_name not in ours:
            raise ValueError(f"an actor wants queue {queue_name!r}, but a worker reads only {ours}")
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def consume(
        self,
        queue_name: str,
        prefetch: int = 1,  # noqa: ARG002
        timeout: int = 5000,
    ) -> Consumer:
        """A consumer of one of our queues; raises ConnectionClosed or TopologyConflict.

        Dramatiq's `prefetch` (two for each thread) is not used: it would cap the batches.
        """
        waking = queue_name == self.topology.wake_queue
        kind = WakeIntake if waking else Intake
        return kind(
            queue_name,
            parameters=self.parameters,
            prepare=self.topology.ensure_wake_queue if waking else self.topology.ensure_intake,
            prefetch=self.prefetch,
            limit=1 if waking else self.batches or 1,
            timeout=timeout,
        )

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """`resume.send(ids)` is a wake-up; nothing else is ever sent. Raises ValueError."""
        if message.queue_name != self.topology.wake_queue or delay is not None:
            raise ValueError("only wake-ups are sent; to push.queue, publish plain JSON")
        self.wake(*message.args)
        return message

    def wake(self, ids: list[str]) -> bool:
        """Tells workers that these notifications are due; False, not an error, if it cannot."""
        return self._waker.wake(ids)

    def publish_dead_letter(self, body: bytes, reason: str, headers: Mapping[str, Any] | None = None) -> None:
        """Puts a body on the dead-letter queue, confirmed; raises NotPublished.

        Headers: `x-death-queue` (where it came in), `x-death-time` (ISO, UTC), `x-death-reason`
        (plain words), and `headers`, as far as AMQP can carry them.
        """
        properties = BasicProperties(
            delivery_mode=PERSISTENT,
            headers={
                **_headers(headers or {}),
                "x-death-queue": self.topology.queue,
                "x-death-time": datetime.now(UTC).isoformat(),
                "x-death-reason": _cut(reason, MAX_HEADER_VALUE),
            },
        )
        try:
            self._publish_twice(body, properties)
        except (*AWAY, TopologyConflict) as error:
            del self.connection
            raise NotPublished(f"RabbitMQ did not take a dead letter: {error!r}") from error

    def _publish_twice(self, body: bytes, properties: BasicProperties) -> None:
        """RabbitMQ may have closed an idle connection, or somebody deleted the queue: once more."""
        try:
            self._publish(body, properties)
        except (NackError, ConnectionBlockedTimeout, NoAnswer):
            raise
        except AMQPError:
            del self.connection
            with connecting():
                connection = self.connection
            with at_most(connection, CONFIRM_PATIENCE):
                self.topology.ensure_dead_letters(connection)
            self._publish(body, properties)

    def _publish(self, body: bytes, properties: BasicProperties) -> None:
        with connecting():
            connection = self.connection
        with at_most(connection, CONFIRM_PATIENCE):
            self.channel.basic_publish(
                self.topology.dead_letter_exchange,
                self.topology.dead_letter_key,
                body,
                properties,
                mandatory=True,
            )

    def get_queue_message_counts(self, queue_name: str) -> tuple[int, int, int]:
        """Messages that are ready in a queue, and none delayed or dead: see `Broker.join`."""
        found = self.channel.queue_declare(queue_name, passive=True)
        return found.method.message_count, 0, 0

    def close(self) -> None:
        self._waker.close()
        for connection in list(self.connections):
            hang_up(connection)
        super().close()


def _headers(headers: Mapping[str, Any]) -> dict[str, str | int | bool | None]:
    return {_cut(name, MAX_HEADER_NAME): _value(value) for name, value in islice(headers.items(), MAX_HEADERS)}


def _value(value: object) -> str | int | bool | None:
    if value is None or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return _cut(str(value), MAX_HEADER_VALUE)


def _cut(text: str, size: int) -> str:
    """At most `size` bytes of UTF-8, which knows no lone surrogates."""
    return text.encode(errors="backslashreplace")[:size].decode(errors="ignore")
