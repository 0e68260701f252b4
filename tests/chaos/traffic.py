"""Gateways under load: publish without a pause, whatever happens to RabbitMQ, until each message is confirmed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pika.adapters.utils.connection_workflow import AMQPConnectorException

from deliveries.broker.connection import AWAY
from tests.world import Producer, message

#: Whatever pika may raise to a producer whose RabbitMQ goes away, in whatever moment.
LOST = (*AWAY, AMQPConnectorException, OSError, ValueError)


@contextmanager
def traffic(url: str, confirmed: set[str], prefix: str, *, pause: float = 0.02) -> Iterator[None]:
    """Publishes `prefix`-0, `prefix`-1, … from a thread of its own until the end of the block.

    What RabbitMQ confirmed is in `confirmed`; what it did not is published again, so it may be there twice.
    """
    over = threading.Event()
    thread = threading.Thread(target=_publish, args=(url, confirmed, prefix, pause, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)
    assert not thread.is_alive(), "the gateway hangs"


def _publish(url: str, confirmed: set[str], prefix: str, pause: float, over: threading.Event) -> None:
    ids = (f"{prefix}-{number}" for number in range(1_000_000))
    id = next(ids)
    while not over.is_set():
        try:
            producer = Producer(url)
            while not over.wait(pause):
                producer.publish(message(id))
                confirmed.add(id)
                id = next(ids)
            producer.close()
        except LOST:
            time.sleep(0.2)


def publish_at_once(url: str, ids: Iterable[str], times: int) -> None:
    """Publishes each id so many times, from as many threads."""
    ids = list(ids)
    start = threading.Barrier(times)

    def publish() -> None:
        producer = Producer(url)
        start.wait()
        for id in ids:
            producer.publish(message(id))
        producer.close()

    threads = [threading.Thread(target=publish) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
