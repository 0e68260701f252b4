"""From a gateway's publish to FCM's request, while the worker has little to do."""

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from bench.backlog import Backlog
from bench.fakes import device_token
from bench.messages import Message, message
from bench.processes import BenchError, tail
from bench.progress import show
from bench.worker import workers
from bench.world import Fakes

WARM_UP = 50
SETTLE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from before the publish until FCM had the request."""

    p50: float
    p99: float
    longest: float


def measure(fakes: Fakes, queues: Backlog, database: str, rate: int, seconds: int, directory: Path) -> Latency:
    """Publishes `rate` a second for `seconds`. Raises BenchError when one does not arrive."""
    fakes.reset()
    with workers(fakes, queues, database, 1, directory) as fleet:
        publish(queues, [message() for _ in range(WARM_UP)], rate)
        show(f"{rate} a second for {seconds} s")
        messages = [message() for _ in range(rate * seconds)]
        published = publish(queues, messages, rate)
        deadline = time.monotonic() + SETTLE_SECONDS
        while fakes.stats()["distinct_sends"] < WARM_UP + len(messages):
            if time.monotonic() > deadline:
                raise BenchError(f"not all arrived: {fakes.stats()}: {tail(fleet.log)}")
            time.sleep(0.05)
    arrived = fakes.arrivals()
    took = [arrived[device_token(user)] - at for user, at in published.items()]
    cuts = quantiles(took, n=100)
    return Latency(cuts[49], cuts[98], max(took))


def publish(queues: Backlog, messages: list[Message], rate: int) -> dict[str, float]:
    """Evenly, each confirmed; gives the moment before each publish (monotonic), by user."""
    published = {}
    start = time.monotonic()
    with queues.connection.channel() as channel:
        channel.confirm_delivery()
        for number, each in enumerate(messages):
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
            published[each.user_id] = time.monotonic()
            queues.publish(channel, each)
    return published
