"""Tells workers that rows are due, so that nobody waits for the dispatcher's next second."""

import logging
from collections.abc import Sequence
from threading import Lock
from time import monotonic

import orjson
from pika import BlockingConnection
from pika.adapters.blocking_connection import BlockingChannel
from pika.connection import Parameters
from pika.exceptions import AMQPError

from deliveries.broker.connection import hang_up

IDS_PER_MESSAGE = 500
SILENCE = 5.0  # seconds without another attempt after one that failed
LOCK_PATIENCE = 0.2  # seconds; who waits longer for another thread's attempt goes without

logger = logging.getLogger(__name__)


class Waker:
    """Publishes ids over one connection per process, without confirms and for a moment at most.

    A wake-up that is lost costs a second, so none is worth waiting for: not for a confirm (0.85 ms
    instead of 0.06), nor for a RabbitMQ that is away, full or slow.
    """

    def __init__(self, parameters: Sequence[Parameters], queue: str) -> None:
        self._parameters = parameters
        self._queue = queue
        self._lock = Lock()
        self._channel: BlockingChannel | None = None
        self._silent_until = 0.0

    def wake(self, ids: Sequence[str]) -> bool:
        """True when RabbitMQ was there to be told; raises nothing, blocks for a moment at most."""
        if monotonic() < self._silent_until or not self._lock.acquire(timeout=LOCK_PATIENCE):
            return False
        try:
            self._publish(ids)
        except Exception as error:  # noqa: BLE001 - a hint must not break the request that gives it
            logger.warning("RabbitMQ is away (%r); no wake-ups for %g s", error, SILENCE)
            self._hang_up()
            self._silent_until = monotonic() + SILENCE
            return False
        finally:
            self._lock.release()
        return True

    def close(self) -> None:
        """Hangs up; a later wake-up connects anew."""
        with self._lock:
            self._hang_up()

    def _publish(self, ids: Sequence[str]) -> None:
        channel = self._live_channel()
        for start in range(0, len(ids), IDS_PER_MESSAGE):
            channel.basic_publish("", self._queue, orjson.dumps(ids[start : start + IDS_PER_MESSAGE]))

    def _live_channel(self) -> BlockingChannel:
        """An idle connection is closed by RabbitMQ after its heartbeats; reading notices that."""
        try:
            if self._channel is not None:
                self._channel.connection.process_data_events(0)
        except AMQPError:
            self._channel = None
        if self._channel is None:
            self._channel = BlockingConnection(self._parameters).channel()
        return self._channel

    def _hang_up(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            hang_up(channel.connection)
