"""The broker layer: messages come in from RabbitMQ, wake-ups and dead letters go out to it."""

from deliveries.broker.embedded import EmbeddedBroker
from deliveries.broker.envelopes import Batch, Envelope
from deliveries.broker.rabbitmq import NotPublished, PushBroker
from deliveries.broker.topology import Topology, TopologyConflict

__all__ = [
    "Batch",
    "EmbeddedBroker",
    "Envelope",
    "NotPublished",
    "PushBroker",
    "Topology",
    "TopologyConflict",
]
