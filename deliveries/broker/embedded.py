"""The broker of `manage.py serve` without RabbitMQ: wake-ups within the process, nothing else."""

from collections.abc import Mapping
from typing import Any

from dramatiq import Message, Middleware
from dramatiq.brokers.stub import StubBroker
from dramatiq.errors import QueueNotFound

from deliveries.broker.intake import WakeIntake
from deliveries.broker.topology import Topology


class EmbeddedBroker(StubBroker):
    """What PushBroker offers, for a process alone with its ledger, which is the durable part."""

    def __init__(self, *, topology: Topology | None = None, middleware: list[Middleware] | None = None) -> None:
        super().__init__(middleware=middleware or [])
        self.topology = topology or Topology()

    def wake(self, ids: list[str]) -> bool:
        """Tells this process's worker that notifications are due; False if it has none."""
        message: Message[Any] = Message(self.topology.wake_queue, WakeIntake.actor_name, (list(ids),), {}, {})
        try:
            self.enqueue(message)
        except QueueNotFound:
            return False
        return True

    def publish_dead_letter(self, body: bytes, reason: str, headers: Mapping[str, Any] | None = None) -> None:
        """Does nothing: the row in `dead_letters` is the dead letter, and there is no queue."""
