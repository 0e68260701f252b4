"""What RabbitMQ says of our queues, asked without changing anything: for health and for the doctor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from pika import BlockingConnection
from pika.connection import Parameters
from pika.exceptions import AMQPError, ChannelClosedByBroker, ConnectionBlockedTimeout, UnroutableError

from deliveries.broker.connection import BriefConnection, impatient
from deliveries.broker.topology import NOT_FOUND, Topology, refusal_of

PRECONDITION_FAILED = 406
NOBODY = "a queue that nobody has"

_UNLIKE = re.compile(
    r"inequivalent arg '(?P<name>[^']+)' .*: received (?P<ours>.+) but current is (?P<theirs>.+)", re.DOTALL
)
_VALUE = re.compile(r"^(?:the value )?'(?P<value>.*?)'(?: of type '\w+')?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as it is. `exists` is None where RabbitMQ does not say; without it there are no numbers."""

    exists: bool | None
    messages: int | None = None
    consumers: int | None = None


@dataclass(frozen=True, slots=True)
class Likeness:
    """Whether a queue is as we would have made it, None where we may not know, and else the first difference."""

    expected: bool | None
    difference: str | None = None


@contextmanager
def asked(parameters: Sequence[Parameters], seconds: float = 2.0) -> Iterator[BlockingConnection]:
    """A connection for a few questions, which ends itself after so many seconds.

    Raises what pika raises, which has no base of its own: AMQPError, OSError, AMQPConnectorException.
    """
    hasty = [impatient(one, seconds) for one in parameters]
    connection = BlockingConnection(hasty, _impl_class=BriefConnection)
    try:
        yield connection
    finally:
        with suppress(AMQPError):  # it ended first
            connection.close()


def look_at(connection: BlockingConnection, queue: str) -> Queue:
    """How many messages wait in a queue and who consumes it."""
    answers: list[Any] = []
    refused = refusal_of(connection, lambda channel: answers.append(channel.queue_declare(queue, passive=True)))
    if refused is None:
        [answer] = answers
        return Queue(True, answer.method.message_count, answer.method.consumer_count)
    # 404 is also said of a queue whose node is away.
    gone = refused.reply_code == NOT_FOUND and "no queue" in refused.reply_text
    return Queue(exists=False if gone else None)


def exchange_fits(connection: BlockingConnection, name: str) -> bool | None:
    """Whether an exchange is a direct one, as far as it is ours to ask; None where there is none."""
    absent = refusal_of(connection, lambda channel: channel.exchange_declare(name, passive=True))
    if absent is not None:
        return None
    refused = refusal_of(connection, lambda channel: channel.exchange_declare(name, "direct", durable=True))
    return refused is None or "arg 'type'" not in refused.reply_text


def compare(connection: BlockingConnection, topology: Topology) -> Likeness:
    """Whether `push.queue` has the arguments that we would give it. To be asked only of a queue that exists.

    AMQP does not show them. But who declares a queue that exists with others is refused, and told the first that
    differs. RabbitMQ logs each refusal, so it is not to be asked often.
    """
    arguments = topology.creation_arguments()
    refused = refusal_of(
        connection, lambda channel: channel.queue_declare(topology.queue, durable=True, arguments=arguments)
    )
    if refused is None:
        return Likeness(expected=True)
    if refused.reply_code != PRECONDITION_FAILED:  # 403: we may not declare it
        return Likeness(expected=None)
    return Likeness(expected=False, difference=_difference(refused.reply_text))


def is_blocked(connection: BlockingConnection) -> bool | None:
    """Whether a memory or disk alarm makes RabbitMQ take no messages; None where we may not publish.

    It says so only to who publishes; a message for a queue that nobody has is handed back at once. A connection that
    was blocked answers nothing more: ask this last.
    """
    told: list[object] = []
    connection.add_on_connection_blocked_callback(lambda *_: told.append(True))
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", NOBODY, b"", mandatory=True)
    except UnroutableError:
        connection.process_data_events(0)
    except ConnectionBlockedTimeout:
        return True
    except ChannelClosedByBroker:
        return None
    return bool(told)


def _difference(said: str) -> str:
    """RabbitMQ's sentence about two declarations, made short and without the virtual host's name."""
    found = _UNLIKE.search(said)
    if found is None:
        return "its arguments differ"
    return f"{found['name']}: expected {_value(found['ours'])}, found {_value(found['theirs'])}"


def _value(said: str) -> str:
    found = _VALUE.match(said.strip())
    return found["value"] if found else said.strip()
