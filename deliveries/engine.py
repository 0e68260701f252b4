"""The engine: one event loop and one writer per worker process, beside Dramatiq's threads.

It owns the loop, the writer, the dispatcher's clock and the drain; nothing else starts a thread. Dramatiq's threads
hand notifications over and never wait for their delivery; each is carried by a coroutine of its own on the loop.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

import uvloop
from django.conf import settings

from deliveries.assembly import Assembly, assemble
from deliveries.dead_letters import Publish
from deliveries.dispatcher import Dispatcher
from deliveries.heartbeat import Heartbeat
from deliveries.ledger import Accept, Accepted, DeadLettered, ReleaseWorker, Writer
from deliveries.ledger.change import Change, Hand
from deliveries.ledger.connection import connect, conninfo
from deliveries.places import Places
from deliveries.work import Work

logger = logging.getLogger(__name__)

START_TIMEOUT = 60.0

#: Notifications leave hardly any cycles behind, but thousands of objects live while they are in flight. At Python's
#: default of 700 the collector took a sixth of a worker's time, looking through them again and again.
GC_THRESHOLD = 50_000
EXIT_SOFTWARE = 70  # EX_SOFTWARE of sysexits.h: a supervisor restarts us


class Engine:
    """Carries notifications. `publish` puts a copy of a dead letter on the failed queue (blocking, confirmed)."""

    def __init__(self, publish: Publish) -> None:
        self.places = Places(settings.PUSH.max_in_flight)
        self.worker_id = uuid4()
        self._conninfo = conninfo()
        self._publish = publish
        self._hand = Hand(self.worker_id, settings.PUSH.delivery_lease)
        self._writer = Writer(partial(connect, self._conninfo), self._hand)
        self._flights: dict[str, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._assembly: Assembly | None = None
        self._dispatcher: Dispatcher | None = None
        self._ready: threading.Event = threading.Event()
        self._stop: asyncio.Event
        self._parent = os.getppid()
        self._threads = [
            self._thread("writer", self._writer.run),
            self._thread("engine", self._run),
        ]

    def start(self) -> None:
        """Returns once the heartbeat beats. Raises RuntimeError when the database does not let it."""
        gc.freeze()  # modules and settings live as long as the process
        gc.set_threshold(GC_THRESHOLD, 20, 100)
        for thread in self._threads:
            thread.start()
        if not self._ready.wait(START_TIMEOUT):
            raise RuntimeError("The engine did not start: the database did not answer within a minute.")
        logger.info(
            "Engine started",
            extra={"worker": str(self.worker_id), "max_in_flight": self.places.count},
        )

    def accept(self, accepts: list[Accept], dead_letters: list[DeadLettered]) -> None:
        """Commits what a thread brings, in this worker's name, and starts what is new.

        Waits for a place before it commits, and for places before it starts. Raises psycopg.Error when the ledger
        refuses something.
        """
        self.places.give_back(self.places.take(1))
        units: list[list[Change]] = [[accept] for accept in accepts]
        units += [[letter] for letter in dead_letters]
        results = self._writer.write_from_thread(*units)
        arrived = time.monotonic()
        works = [
            _fresh(accept, result, arrived)
            for accept, [result] in zip(accepts, results, strict=False)
            if result is not None
        ]
        while works and (places := self.places.take(len(works))):  # no places: the drain hands these back
            self._call_soon(self._start, works[:places])
            works = works[places:]

    def resume(self, ids: list[str]) -> None:
        """Takes up rows that somebody has just made due, without waiting for the dispatcher's next round."""
        assert self._dispatcher is not None
        self._call(self._dispatcher.claim(ids))

    def drain(self, grace: float) -> None:
        """Finishes what is in flight within `grace` seconds, hands back the rest, and ends all threads."""
        self.places.close()
        loop = self._loop
        if loop is None:
            return
        deadline = time.monotonic() + grace
        while self._flights and time.monotonic() < deadline:
            time.sleep(0.02)
        loop.call_soon_threadsafe(self._stop.set)
        self._threads[1].join(grace + 5)
        [[handed_back]] = self._writer.write_from_thread([ReleaseWorker()])
        self._writer.stop()
        self._threads[0].join(5)
        logger.info("Engine stopped", extra={"handed_back": handed_back})

    def _thread(self, name: str, run: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                run()
            except BaseException:
                logger.critical(
                    "The %s thread died; ending the process so that it is started anew",
                    name,
                    exc_info=True,
                )
                os._exit(EXIT_SOFTWARE)

        return threading.Thread(target=guarded, name=name, daemon=True)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        """The life of the loop: everything is built, beats and ticks until told to stop."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        executor = ThreadPoolExecutor(1, thread_name_prefix="blocking")
        heartbeat = Heartbeat(self._conninfo, self._hand, self._vitals)
        self._assembly = assembly = assemble(self._writer, heartbeat.alive, self._publish, executor)
        self._dispatcher = Dispatcher(
            self._writer,
            self.places,
            heartbeat,
            assembly.dead_letters,
            self._start,
            self._flights.keys,
            self._hand.lease,
        )
        await heartbeat.start()
        clocks = [asyncio.create_task(clock) for clock in (heartbeat.run(), self._dispatcher.run(), self._watch())]
        self._ready.set()
        await self._stop.wait()
        for task in [clocks[1], *self._flights.values()]:
            task.cancel()
        await asyncio.gather(clocks[1], *self._flights.values(), return_exceptions=True)
        for task in clocks:
            task.cancel()
        await heartbeat.stop()
        await assembly.close()
        executor.shutdown()

    async def _watch(self) -> None:
        """A worker whose master was killed would go on for ever, unsupervised: it leaves in good order instead."""
        while os.getppid() == self._parent:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(1)
        logger.error("The parent process is gone: stopping")
        os.kill(os.getpid(), signal.SIGTERM)

    def _vitals(self) -> tuple[int, dict[str, Any]]:
        assert self._assembly is not None
        return len(self._flights), self._assembly.health()

    def _start(self, works: list[Work]) -> None:
        """Starts a coroutine for each, on the loop; its place is given back when it ends."""
        assert self._assembly is not None
        for work in works:
            task = asyncio.create_task(self._assembly.pipeline.carry(work))
            self._flights[work.id] = task
            task.add_done_callback(lambda task, id=work.id: self._landed(id, task))  # type: ignore[misc]

    def _landed(self, id: str, task: asyncio.Task[None]) -> None:
        self.places.give_back()
        if self._flights.get(id) is task:
            del self._flights[id]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("Notification %s could not be carried on; it is taken up again", id, exc_info=error)

    def _call_soon(self, call: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(call, *arguments)

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(coroutine, self._loop)


def _fresh(accept: Accept, accepted: Accepted, arrived: float) -> Work:
    expires_at = arrived + accepted.expires_in
    return Work(accept.request, accepted.fence, accept.high_priority, expires_at)
