"""One run: a full queue, a worker that starts, the clock until the last report; then the books."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.backlog import Backlog
from bench.databases import Account, Ledger
from bench.messages import message
from bench.processes import BenchError, tail
from bench.progress import show
from bench.worker import Fleet, workers
from bench.world import Fakes

STALL_SECONDS = 30
POLL_SECONDS = 0.05
#: The steady part of a run, by its share of the reports: neither starting nor running dry.
STEADY = (0.1, 0.9)


@dataclass(frozen=True, slots=True)
class Sample:
    """A moment of a run: seconds (monotonic), reports so far, the workers' CPU seconds so far."""

    at: float
    reports: int
    cpu: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """Notifications a second and CPU seconds each: of the whole run, and of its steady part."""

    rate: float
    cpu: float
    steady_rate: float
    steady_cpu: float


def measure(fakes: Fakes, queues: Backlog, database: str, count: int, processes: int, directory: Path) -> Throughput:
    """Raises BenchError when a notification is lost, repeated, or not reported."""
    show(f"publishing {count:,} messages")
    queues.fill(message() for _ in range(count))
    fakes.reset()
    with workers(fakes, queues, database, processes, directory) as fleet:
        samples = list(watch(fakes, fleet, count))
        settle(database, count)
        spent = fleet.cpu_seconds()
    book = fakes.stats()
    check(database, queues, book, count, fleet.log)
    seconds = book["last_report_at"] - book["first_lookup_at"]
    start = next(s for s in reversed(samples) if s.at <= book["first_lookup_at"])
    rate, cpu = steady(samples, count)
    return Throughput(count / seconds, (spent - start.cpu) / count, rate, cpu)


def watch(fakes: Fakes, fleet: Fleet, count: int) -> Iterator[Sample]:
    """Looks until all are reported. Raises BenchError when nothing moves any more."""
    reports, moved_at = 0, time.monotonic()
    while reports < count:
        book = fakes.stats()
        now = time.monotonic()
        if book["reports"] > reports:
            reports, moved_at = book["reports"], now
        elif now > moved_at + STALL_SECONDS:
            raise BenchError(f"stalled at {reports} of {count}: {book}: {tail(fleet.log)}")
        show(f"{reports:,} of {count:,} reported")
        yield Sample(now, reports, fleet.cpu_seconds())
        time.sleep(POLL_SECONDS)


def steady(samples: list[Sample], count: int) -> tuple[float, float]:
    """Reports a second, and CPU seconds each, of the middle."""
    low, high = (count * share for share in STEADY)
    middle = [s for s in samples if low <= s.reports <= high]
    if len(middle) < 2:
        raise BenchError(f"{count} messages are over too soon to measure: take more")
    first, last = middle[0], middle[-1]
    reports = last.reports - first.reports
    return reports / (last.at - first.at), (last.cpu - first.cpu) / reports


def settle(database: str, count: int) -> None:
    """Waits until the last reports are committed too; `check` says if they never are."""
    ledger = Ledger(database)
    deadline = time.monotonic() + STALL_SECONDS
    while ledger.account().settled < count and time.monotonic() < deadline:
        time.sleep(0.02)
    ledger.close()


def check(database: str, queues: Backlog, book: dict[str, float], count: int, log: Path) -> None:
    """Raises BenchError with everything that is not as it must be."""
    ledger = Ledger(database)
    account = ledger.account()
    ledger.close()
    names = ("sends", "distinct_sends", "reports", "distinct_reports", "delivered")
    found = {
        "ledger": (account, Account(count, count, count, count, 0, 0)),
        "fakes": ({name: book[name] for name in names}, dict.fromkeys(names, count)),
        "queues": (queues.left(), dict.fromkeys(queues.left(), 0)),
    }
    wrong = [f"{place}: {is_}, not {must}" for place, (is_, must) in found.items() if is_ != must]
    if wrong:
        raise BenchError("\n".join([*wrong, tail(log)]))
