"""What every run stands on: the fakes, a migrated template database, a directory for logs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import latency, send_each, throughput
from bench.backlog import backlog
from bench.databases import Server
from bench.latency import Latency
from bench.processes import BenchError
from bench.throughput import Throughput
from bench.world import Fakes, fakes


@dataclass(frozen=True, slots=True)
class Stage:
    """Each measurement has a database and queues of its own, gone when it ends."""

    server: Server
    rabbitmq_url: str
    fakes: Fakes
    template: str
    directory: Path

    def throughput(self, count: int, processes: int) -> Throughput:
        with self.server.copy(self.template) as database, backlog(self.rabbitmq_url) as queues:
            return throughput.measure(self.fakes, queues, database, count, processes, self.directory)

    def latency(self, rate: int, seconds: int) -> Latency:
        with self.server.copy(self.template) as database, backlog(self.rabbitmq_url) as queues:
            return latency.measure(self.fakes, queues, database, rate, seconds, self.directory)

    def send_each(self, batches: int) -> tuple[float, float]:
        """Sends a second, and CPU seconds for each."""
        return send_each.measure(self.fakes, batches, self.directory)


@contextmanager
def stage(fcm_latency_ms: float) -> Iterator[Stage]:
    """Raises BenchError when something does not come up."""
    server = Server(required("DATABASE_URL").replace("+asyncpg", ""))
    rabbitmq_url = required("RABBITMQ_URL")
    with TemporaryDirectory(prefix="push-bench-") as place:
        directory = Path(place)
        with (
            fakes(directory, fcm_latency_ms) as world,
            server.template(os.environ | world.variables()) as template,
        ):
            yield Stage(server, rabbitmq_url, world, template, directory)


def required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise BenchError(f"{name} is not set: run `make bench`, which brings up both servers")
    return value
