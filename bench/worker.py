"""`manage.py rundramatiq` as an operator starts it, its logs in a file."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.backlog import Backlog
from bench.databases import Ledger
from bench.processes import BenchError, cpu_seconds, running, tail
from bench.world import Fakes

START_SECONDS = 60
#: In the environment: leave the worker to the kernel instead of one core.
SPREAD = "BENCH_SPREAD"


@dataclass(frozen=True, slots=True)
class Fleet:
    """The worker processes that carry notifications; the master only watches them."""

    pids: list[int]
    log: Path

    def cpu_seconds(self) -> float:
        """Raises BenchError with the log's end when one is gone."""
        try:
            return cpu_seconds(self.pids)
        except BenchError as gone:
            raise BenchError(f"{gone}: {tail(self.log)}") from None


@contextmanager
def workers(fakes: Fakes, queues: Backlog, database: str, processes: int, directory: Path) -> Iterator[Fleet]:
    """Workers whose engines run. Raises BenchError when they do not start."""
    log = directory / "worker.log"
    command = ["manage.py", "rundramatiq", "--processes", str(processes)]
    variables = fakes.variables() | queues.variables() | {"DATABASE_URL": database}
    with running(command, log, variables, pinned=processes == 1 and not os.environ.get(SPREAD)) as master:
        ledger = Ledger(database)
        deadline = time.monotonic() + START_SECONDS
        while len(pids := ledger.workers()) < processes:
            if master.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"the worker did not start: {tail(log)}")
            time.sleep(0.02)
        ledger.close()
        yield Fleet(pids, log)
