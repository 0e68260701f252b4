"""Queues of the bench's own in RabbitMQ, made as the service makes them and deleted afterwards."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from bench.messages import Message
from deliveries.broker.topology import Topology

PERSISTENT = pika.BasicProperties(delivery_mode=2, content_type="application/json")
IN_ONE_TRANSACTION = 500


@dataclass(frozen=True)
class Backlog:
    """The queues of one run. Their names are new, so that nobody else's messages are touched."""

    connection: BlockingConnection
    topology: Topology

    def variables(self) -> dict[str, str]:
        """The settings that lead the service to these queues."""
        names = self.topology
        return {
            "RABBITMQ_QUEUE": names.queue,
            "RABBITMQ_EXCHANGE": names.exchange,
            "RABBITMQ_ROUTING_KEY": names.routing_keys[0],
            "RABBITMQ_DLX_EXCHANGE": names.dead_letter_exchange,
            "RABBITMQ_DLX_QUEUE": names.dead_letter_queue,
        }

    def fill(self, messages: Iterable[Message]) -> None:
        """Publishes persistently. RabbitMQ has taken charge of all of them when this returns.

        In transactions: waiting for a confirm of each would take most of the bench's time.
        """
        with self.connection.channel() as channel:
            channel.tx_select()
            for count, message in enumerate(messages, 1):
                self.publish(channel, message)
                if count % IN_ONE_TRANSACTION == 0:
                    channel.tx_commit()
            channel.tx_commit()

    def publish(self, channel: BlockingChannel, message: Message) -> None:
        """To the exchange, as a gateway does; an error when no queue gets it."""
        names = self.topology
        channel.basic_publish(names.exchange, names.routing_keys[0], message.body, PERSISTENT, mandatory=True)

    def left(self) -> dict[str, int]:
        """Messages that wait, by queue; exact once nobody consumes."""
        names = (self.topology.queue, self.topology.dead_letter_queue)
        with self.connection.channel() as channel:
            return {name: channel.queue_declare(name, passive=True).method.message_count for name in names}

    def delete(self) -> None:
        names = self.topology
        with self.connection.channel() as channel:
            for queue in (names.queue, names.wake_queue, names.dead_letter_queue):
                channel.queue_delete(queue)
            for exchange in (names.exchange, names.dead_letter_exchange):
                channel.exchange_delete(exchange)


@contextmanager
def backlog(url: str) -> Iterator[Backlog]:
    """New queues, deleted at the end."""
    name = f"bench-{token_hex(4)}"
    topology = Topology(
        queue=f"{name}.push",
        exchange=f"{name}.direct",
        dead_letter_exchange=f"{name}.dlx",
        dead_letter_queue=f"{name}.failed",
    )
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 0  # nobody beats while we watch a run
    connection = BlockingConnection(parameters)
    try:
        queues = Backlog(connection, topology)
        try:
            topology.ensure_intake(connection)
            yield queues
        finally:
            queues.delete()
    finally:
        connection.close()
