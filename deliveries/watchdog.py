"""The watchdog: ends a process of which a part has died or hangs, so that a supervisor starts it anew.

Without one of its parts a worker looks alive and delivers less, or nothing. Nobody would see it.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from dramatiq import Worker

from deliveries.ledger.faults import traceable

logger = logging.getLogger(__name__)

EXIT_SOFTWARE = 70  # EX_SOFTWARE of sysexits.h: a supervisor restarts us
LOOK = 1.0  # seconds between looks
PAUSES = 10  # limits; see `end_after`
STDERR = 2  # the file itself: `sys.stderr` is Dramatiq's pipe

#: Of parts that should move, by name: for how many seconds they have not.
Stalls = Callable[[], dict[str, float]]

_at_work: dict[int, float] = {}  # since when, by thread


def give_up(what: str, error: BaseException | None = None) -> NoReturn:
    """Ends the process: one line that says why, and below it where every thread was. Those lines show no values."""
    logger.critical(
        "%s: ending the process, so that its supervisor starts it anew", what, exc_info=error and traceable(error)
    )
    faulthandler.dump_traceback(STDERR)
    os._exit(EXIT_SOFTWARE)


def end_after(seconds: float) -> None:
    """Ends the process then, unless this is called anew or cancelled.

    It is done by a thread outside of the interpreter: who holds the interpreter's lock stops the watchdog as well. That
    thread goes by the clock alone: it also ends a process that wakes up after having been stopped for so long.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)


def lasting_thread(name: str, run: Callable[[], None]) -> threading.Thread:
    """A thread whose error is the end of the process: nothing may end it silently."""

    def guarded() -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001
            give_up(f"The {name} thread has stopped", error)

    return threading.Thread(target=guarded, name=name, daemon=True)


@contextmanager
def at_work() -> Iterator[None]:
    """What one of Dramatiq's worker threads must get done by itself. It may wait for others, outside of this, for as
    long as they take: for places, for the database, for RabbitMQ.
    """
    thread = threading.get_ident()
    _at_work[thread] = time.monotonic()
    try:
        yield
    finally:
        del _at_work[thread]


class Watchdog:
    """Looks once a second, from when the worker is up until it is told to stop; nothing may stall for `limit` seconds.

    It looks at the engine's parts (`stalls`) and at the worker's threads and consumers, and whether the parent lives.
    """

    def __init__(self, stalls: Stalls, worker: Worker, limit: float) -> None:
        self._stalls = stalls
        self._worker = worker
        self._limit = limit
        self._parent = os.getppid()
        self._stopped = threading.Event()
        self._thread = lasting_thread("watchdog", self._run)
        self._looked = self._lenient_until = time.monotonic()

    def start(self) -> None:
        end_after(PAUSES * self._limit)
        self._thread.start()

    def stop(self) -> None:
        """Looks no more: a worker that stops in good order loses its threads one by one."""
        self._stopped.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def threads(self) -> list[threading.Thread]:
        """All that the worker needs, with this one."""
        return [self._thread, *(thread for _, thread in self._threads())]

    def _run(self) -> None:
        while not self._stopped.wait(LOOK):
            end_after(PAUSES * self._limit)
            if os.getppid() != self._parent:
                return self._leave()
            self._look()
        return None

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked > LOOK + self._limit / 2:  # all of the process was frozen: everybody gets going again
            self._lenient_until = now + self._limit
        self._looked = now
        for name, thread in self._threads():
            if not thread.is_alive():
                give_up(f"{name} has died")
        for name, seconds in (self._stalls() | self._worker_stalls(now)).items():
            if seconds > self._limit and now > self._lenient_until:
                give_up(f"{name} has not moved for {seconds:.0f} s")

    def _threads(self) -> list[tuple[str, threading.Thread]]:
        consumers = [(f"The consumer of {queue}", thread) for queue, thread in self._worker.consumers.items()]
        return [*(("One of the worker's threads", thread) for thread in self._worker.workers), *consumers]

    def _worker_stalls(self, now: float) -> dict[str, float]:
        """The thread that has worked longest, and the consumers; those of embedded mode do not tell."""
        stalls = {"One of the worker's threads": now - min(list(_at_work.values()), default=now)}
        for queue, thread in self._worker.consumers.items():
            came_round = getattr(thread.consumer, "came_round", None)
            if came_round is not None:
                stalls[f"The consumer of {queue}"] = now - came_round
        return stalls

    def _leave(self) -> None:
        """A worker whose master was killed would go on for ever, unsupervised: it leaves in good order instead."""
        logger.error("The parent process is gone: stopping")
        os.kill(os.getpid(), signal.SIGTERM)
