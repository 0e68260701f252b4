"""The figures as a person reads them."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.throughput import Throughput

HEAD = (
    "run",
    "notifications/s",
    "in the middle",
    "worker µs each",
    "in the middle",
    "send_each/s",
    "µs a send",
    "ratio",
)


@dataclass(frozen=True, slots=True)
class Run:
    """The service and `send_each`, measured one after the other. CPU in µs of one core."""

    notifications_per_second: float
    steady_notifications_per_second: float
    worker_cpu: float
    steady_worker_cpu: float
    sends_per_second: float
    send_cpu: float
    ratio: float

    @classmethod
    def of(cls, ours: Throughput, sends_per_second: float, send_cpu: float) -> "Run":
        return cls(
            ours.rate,
            ours.steady_rate,
            ours.cpu * 1e6,
            ours.steady_cpu * 1e6,
            sends_per_second,
            send_cpu * 1e6,
            ours.cpu / send_cpu,
        )

    @classmethod
    def median(cls, runs: "Sequence[Run]") -> "Run":
        """Of each column by itself."""
        return cls(*(median(getattr(run, name) for run in runs) for name in cls.__slots__))

    def cells(self) -> list[str]:
        *counts, ratio = (getattr(self, name) for name in self.__slots__)
        return [*(f"{value:,.0f}" for value in counts), f"{ratio:.2f}"]


def table(runs: Sequence[Run]) -> str:
    rows = [[str(number), *run.cells()] for number, run in enumerate(runs, 1)]
    rows.append(["median", *Run.median(runs).cells()])
    return "\n".join(map(_line, [HEAD, *rows]))


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cell.rjust(len(title)) for cell, title in zip(cells, _WIDE, strict=True))


_WIDE = ("median", *HEAD[1:])


def machine() -> str:
    """Cores that we may use, the processor, the interpreter."""
    cores = len(os.sched_getaffinity(0))
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    processor = names[0] if names else platform.machine()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{cores} cores, {processor}, {python}"
