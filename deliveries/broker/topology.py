"""Finds or makes our exchanges and queues in RabbitMQ without quarrelling with their other owners.

Several services own `push.queue` and each declares it with arguments of its own; a declaration that
differs from the first is refused (406) and would stop us. So a queue that exists is taken as it is.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dramatiq.errors import BrokerConnectionError
from pika import BlockingConnection
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

NOT_FOUND = 404
# A wake-up is a hint: it is stale after a second, so RabbitMQ may throw it away soon after.
WAKE_QUEUE_ARGUMENTS = {"x-message-ttl": 10_000, "x-max-length": 10_000}


class TopologyConflict(BrokerConnectionError):
    """RabbitMQ refuses what we need; the message is one line that says what to change."""

    def __init__(self, message: str) -> None:
        super().__init__(message)  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Topology:
    """The names in RabbitMQ. An empty exchange name means the default exchange (nothing to bind).

    `queue_arguments` replaces the arguments with which a missing `queue` is created.
    """

    queue: str = "push.queue"
    exchange: str = "notifications.direct"
    routing_keys: tuple[str, ...] = ("push",)
    dead_letter_exchange: str = "notifications.dlx"
    dead_letter_key: str = "failed"
    dead_letter_queue: str = "failed.queue"
    queue_arguments: Mapping[str, Any] | None = None

    @property
    def wake_queue(self) -> str:
        """Our own queue, which carries ids to workers and nothing else."""
        return f"{self.queue}.resume"

    def creation_arguments(self) -> dict[str, Any]:
        """The arguments for `queue`, should it be ours to create."""
        if self.queue_arguments is not None:
            return dict(self.queue_arguments)
        return {
            "x-dead-letter-exchange": self.dead_letter_exchange,
            "x-dead-letter-routing-key": self.dead_letter_key,
            "x-max-priority": 10,
        }

    def ensure_intake(self, connection: BlockingConnection) -> None:
        """Makes sure that messages and dead letters have a place; raises TopologyConflict."""
        self.ensure_dead_letters(connection)
        _ensure_exchange(connection, self.exchange, "RABBITMQ_EXCHANGE")
        _ensure_queue(connection, self.queue, self.creation_arguments())
        for key in self.routing_keys:
            _bind(connection, self.queue, self.exchange, key)

    def ensure_dead_letters(self, connection: BlockingConnection) -> None:
        """Makes sure that a dead letter has a place; raises TopologyConflict."""
        _ensure_exchange(connection, self.dead_letter_exchange, "RABBITMQ_DLX_EXCHANGE")
        _ensure_queue(connection, self.dead_letter_queue, {})
        _bind(connection, self.dead_letter_queue, self.dead_letter_exchange, self.dead_letter_key)

    def ensure_wake_queue(self, connection: BlockingConnection) -> None:
        """Makes sure that wake-ups have a place; raises TopologyConflict."""
        _ensure_queue(connection, self.wake_queue, WAKE_QUEUE_ARGUMENTS)


def _ensure_queue(connection: BlockingConnection, name: str, arguments: dict[str, Any]) -> None:
    refusal = refusal_of(connection, lambda channel: channel.queue_declare(name, passive=True))
    if refusal is not None and refusal.reply_code == NOT_FOUND:
        refusal = refusal_of(
            connection,
            lambda channel: channel.queue_declare(name, durable=True, arguments=arguments),
        )
    if refusal is not None:
        raise TopologyConflict(f"RabbitMQ refuses queue {name!r}: {refusal.reply_text}")


def _ensure_exchange(connection: BlockingConnection, name: str, setting: str) -> None:
    """A declaration changes nothing that exists, and unlike a passive one it tells the type."""
    refusal = name and refusal_of(connection, lambda channel: channel.exchange_declare(name, "direct", durable=True))
    if not refusal:
        return
    if "arg 'type'" in refusal.reply_text:
        raise TopologyConflict(
            f"exchange {name!r} exists, but not as a direct one ({refusal.reply_text}): "
            f"delete it, or name another in {setting}"
        )
    # It differs in something that does not matter to us, or is not ours to declare: is it there?
    absent = refusal_of(connection, lambda channel: channel.exchange_declare(name, passive=True))
    if absent is not None:
        raise TopologyConflict(f"RabbitMQ refuses exchange {name!r}: {refusal.reply_text}")


def _bind(connection: BlockingConnection, queue: str, exchange: str, key: str) -> None:
    refusal = exchange and refusal_of(connection, lambda channel: channel.queue_bind(queue, exchange, key))
    if refusal:
        raise TopologyConflict(f"RabbitMQ refuses to bind {queue!r} to {exchange!r} by {key!r}: {refusal.reply_text}")


def refusal_of(
    connection: BlockingConnection, request: Callable[[BlockingChannel], object]
) -> ChannelClosedByBroker | None:
    """RabbitMQ closes the channel on which it refuses something, so each request has its own."""
    try:
        with _channel(connection) as channel:
            request(channel)
    except ChannelClosedByBroker as refusal:
        return refusal
    return None


@contextmanager
def _channel(connection: BlockingConnection) -> Iterator[BlockingChannel]:
    channel = connection.channel()
    try:
        yield channel
    finally:
        if channel.is_open:
            channel.close()
