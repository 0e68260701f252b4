"""End to end through RabbitMQ, beside firebase-admin's `send_each`, against the same cheap FCM."""

import argparse
import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from bench.processes import BenchError
from bench.progress import clear, show
from bench.report import Run, machine, table
from bench.send_each import PIN_PEER
from bench.stage import Stage, stage
from bench.worker import SPREAD

WARM_UP = 3_000
SETTINGS = {"ENV_FILE": "", "SECRET_KEY": token_urlsafe(40)}  # nobody's .env has a say


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--messages", type=int, default=20_000, help="in each run")
    parser.add_argument("--processes", type=int, default=1, help="worker processes")
    parser.add_argument("--batches", type=int, default=10, help="send_each of 500, in each run")
    parser.add_argument("--fcm-latency-ms", type=float, default=50.0)
    parser.add_argument("--spread", action="store_true", help="leave the worker to the kernel, not on one core")
    parser.add_argument("--pin-peer", action="store_true", help="keep send_each on one core too")
    parser.add_argument("--warm-up", action="store_true", help="a short run first, not counted")
    parser.add_argument("--latency", action="store_true", help="measure publish to FCM instead")
    parser.add_argument("--rate", type=int, default=50, help="a second, with --latency")
    parser.add_argument("--seconds", type=int, default=10, help="with --latency")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    os.environ.update(SETTINGS | {SPREAD: "1" if given.spread else "", PIN_PEER: "1" if given.pin_peer else ""})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with stage(given.fcm_latency_ms) as ready:
            figures = latency(ready, given) if given.latency else throughput(ready, given)
    except BenchError as error:
        clear()
        sys.stderr.write(f"bench: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), **figures}, indent=2) + "\n")
    return 0


def throughput(ready: Stage, given: argparse.Namespace) -> dict[str, Any]:
    """Prints the table; gives the figures, CPU in µs."""
    if given.warm_up:
        ready.throughput(WARM_UP, given.processes)
    runs = []
    for number in range(1, given.runs + 1):
        show(f"run {number} of {given.runs}")
        ours = ready.throughput(given.messages, given.processes)
        show(f"run {number} of {given.runs}: send_each")
        runs.append(Run.of(ours, *ready.send_each(given.batches)))
    clear()
    print(
        f"{machine()}; {given.messages:,} messages a run, worker processes: {given.processes}, "
        f"FCM answers in {given.fcm_latency_ms:g} ms\n\n{table(runs)}\n\n"
        "ratio: worker CPU for a notification (lookup, rendering, send, report, ledger) to CPU "
        "of a bare send_each"
    )
    return {"runs": [asdict(run) for run in runs], "median": asdict(Run.median(runs))}


def latency(ready: Stage, given: argparse.Namespace) -> dict[str, Any]:
    """Prints the line; gives the figures, in seconds."""
    took = ready.latency(given.rate, given.seconds)
    clear()
    print(
        f"{machine()}; publish to FCM's request at {given.rate}/s for {given.seconds} s: "
        f"p50 {took.p50 * 1e3:.1f} ms, p99 {took.p99 * 1e3:.1f} ms, longest "
        f"{took.longest * 1e3:.1f} ms"
    )
    return {"latency": asdict(took)}


if __name__ == "__main__":
    sys.exit(main())
