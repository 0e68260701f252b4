"""What comes in, as plain data: bodies are foreign, so nothing here reads them or shows them."""

import json
import re
from dataclasses import dataclass
from typing import Self

from pika import BasicProperties, spec

from deliveries.faults import CONTROL

Arrival = tuple[spec.Basic.Deliver, BasicProperties, bytes]

CONTROL_CHARACTER = re.compile(rf"[{CONTROL}]")


@dataclass(frozen=True, slots=True, repr=False)
class Envelope:
    """One message as it came: its body, unread, and those AMQP properties that mean something."""

    body: bytes
    message_id: str | None = None
    correlation_id: str | None = None
    priority: int | None = None

    @classmethod
    def of(cls, arrival: Arrival) -> Self:
        _, properties, body = arrival
        return cls(
            body=body,
            message_id=_id(properties.message_id),
            correlation_id=_id(properties.correlation_id),
            priority=properties.priority,
        )

    def __repr__(self) -> str:
        return f"<Envelope of {len(self.body)} bytes>"


class Batch(list[Envelope]):
    """Messages for one call of `receive`, which sets `committed` once the ledger has them all."""

    committed = False

    @classmethod
    def of(cls, argument: object) -> "Batch":
        """What `receive` was called with, as a batch.

        RabbitMQ's consumer hands over a Batch. A StubBroker hands over one message at a time, and
        decoded: a text is a body as it came, anything else was a JSON body.
        """
        if isinstance(argument, Batch):
            return argument
        text = argument if isinstance(argument, str) else json.dumps(argument)
        return cls([Envelope(text.encode(errors="surrogatepass"))])

    def __repr__(self) -> str:
        """Dramatiq logs whole messages, and bodies carry device tokens."""
        return f"<Batch of {len(self)} messages, {sum(len(e.body) for e in self)} bytes>"


def _id(value: str | bytes | None) -> str | None:
    """A property that can be an id, else None: the body may have a better one, and the ledger takes no other.

    pika leaves a property that is not UTF-8 as bytes.
    """
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    return None if text is None or len(text) > 255 or CONTROL_CHARACTER.search(text) else text
