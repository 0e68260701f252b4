"""The engine: one event loop and one writer per worker process, beside Dramatiq's threads.

It owns the loop, the writer, the dispatcher's clock and the drain; nothing else but the watchdog starts a thread.
Dramatiq's threads hand notifications over and never wait for their delivery; each is carried by a coroutine of its own
on the loop.
"""

from __future__ import annotations

import asyncio
import gc
import logging
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
from deliveries.clock import TICK
from deliveries.dead_letters import Publish
from deliveries.dispatcher import Dispatcher
from deliveries.flights import Flights
from deliveries.heartbeat import Heartbeat
from deliveries.ledger import Accept, DeadLettered, ReleaseWorker, Writer
from deliveries.ledger.change import Change, Hand
from deliveries.ledger.connection import connect, conninfo
from deliveries.ledger.mail import OweCopy
from deliveries.outcomes import NotAccepting
from deliveries.places import Places
from deliveries.quarantine import Quarantine
from deliveries.starting import Starter
from deliveries.watchdog import give_up, lasting_thread
from deliveries.work import Work

logger = logging.getLogger(__name__)

START_TIMEOUT = 60.0
STOP_TIMEOUT = 5.0

#: Notifications leave hardly any cycles behind, but thousands of objects live while they are in flight. At Python's
#: default of 700 the collector took a sixth of a worker's time, looking through them again and again.
GC_THRESHOLD = 50_000

#: Seconds after which PostgreSQL cancels a statement of the writer's, at most: then it is an outage, which passes.
STATEMENT_PATIENCE = 30.0


class Engine:
    """Carries notifications. `publish` puts a copy of a dead letter on the failed queue (blocking, confirmed)."""

    def __init__(self, publish: Publish) -> None:
        self.places = Places(settings.PUSH.max_in_flight)
        self.worker_id = uuid4()
        self._conninfo = conninfo()
        self._publish = publish
        self._hand = Hand(self.worker_id, settings.PUSH.delivery_lease)
        self._heartbeat = Heartbeat(self._conninfo, self._hand, self._vitals)
        patience = min(STATEMENT_PATIENCE, settings.PUSH.watchdog_timeout / 2)
        self._writer = Writer(partial(connect, self._conninfo, patience, self._heartbeat.patience), self._hand)
        self._flights = Flights(self.places)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._assembly: Assembly | None = None
        self._dispatcher: Dispatcher | None = None
        self._ready = threading.Event()
        self._stop: asyncio.Event
        self._pulsed = 0.0
        #: Of the Dramatiq worker beside it, once that is up.
        self.worker_threads: Callable[[], list[threading.Thread]] = list
        self._threads = [lasting_thread("writer", self._writer.run), lasting_thread("engine", self._run)]

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

        Waits for a place before it commits, and for places before it starts. Raises NotAccepting, and psycopg.Error
        when the ledger refuses something.
        """
        if not self.places.take(1):
            raise NotAccepting
        self.places.give_back()
        units: list[list[Change]] = [[accept] for accept in accepts]
        units += [[letter] for letter in dead_letters]
        results, refusal = self._writer.write_from_thread(*units)
        arrived = time.monotonic()
        self._flights.queue(
            [
                Work(accept.request, result.fence, accept.high_priority, arrived + result.expires_in)
                for accept, [result] in zip(accepts, results, strict=False)
                if result is not None
            ],
            partial(self._call_soon, self._begin),
        )
        if refusal is not None:
            raise refusal

    def owe_copies(self, letters: list[DeadLettered]) -> None:
        """Commits that copies of these are owed to the failed queue. Raises psycopg.Error."""
        _, refusal = self._writer.write_from_thread(*[[OweCopy(letter.body_hash)] for letter in letters])
        if refusal is not None:
            raise refusal

    def resume(self, ids: list[str]) -> None:
        """Takes up rows that somebody has just made due, without waiting for the dispatcher's next round."""
        assert self._loop is not None
        assert self._dispatcher is not None
        asyncio.run_coroutine_threadsafe(self._dispatcher.claim(ids), self._loop)

    def stalls(self) -> dict[str, float]:
        """For how many seconds the loop and the writer have not moved, by their names; for the watchdog.

        What holds up the heartbeat as well is the database, and no stall: the writer has until the last beat.
        """
        since = self._writer.busy_since
        writer = {} if since is None else {"The writer": self._heartbeat.last - since}
        return {"The event loop": time.monotonic() - self._pulsed} | writer

    def stop_accepting(self) -> None:
        """Takes nothing more up; threads that wait for places return."""
        self.places.close()

    def drain(self, grace: float) -> None:
        """Finishes what is in flight within `grace` seconds, hands back the rest, and ends all threads."""
        self.stop_accepting()
        if self._loop is None:
            return
        self._flights.wait(grace)
        self._loop.call_soon_threadsafe(self._stop.set)
        self._threads[1].join(STOP_TIMEOUT)
        self._loop = None
        handed_back = self._writer.finish(ReleaseWorker(), STOP_TIMEOUT)
        if handed_back is None:
            logger.error("The database is away: what was in flight is taken up when this worker's lease is over")
        else:
            logger.info("Engine stopped", extra={"handed_back": handed_back})

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        """The life of the loop: everything is built, beats and ticks until told to stop."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        executor = ThreadPoolExecutor(1, thread_name_prefix="blocking")
        heartbeat = self._heartbeat
        self._assembly = assembly = assemble(self._writer, heartbeat, self._publish, executor)
        starter = Starter(self._writer, self.places, self._begin)
        held, probes = self._flights.held, assembly.brakes.probes
        self._dispatcher = Dispatcher(self._writer, starter, heartbeat, held, probes, self._hand.lease)
        quarantine = Quarantine(starter, heartbeat)
        await heartbeat.start()
        rounds = [self._clock(office.run) for office in (self._dispatcher, quarantine, *assembly.offices())]
        watches = [self._clock(heartbeat.run), self._clock(self._pulse)]
        self._ready.set()
        await self._stop.wait()
        for clock in rounds:
            clock.cancel()
        await self._flights.cancel()
        for clock in watches:
            clock.cancel()
        await heartbeat.stop()
        await assembly.close()
        executor.shutdown(wait=False)

    def _clock(self, run: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Runs for as long as the engine does; when it ends before that, so does the process."""
        task = asyncio.create_task(run())
        task.add_done_callback(
            lambda task: None if task.cancelled() else give_up(f"{run.__qualname__} has stopped", task.exception())
        )
        return task

    async def _pulse(self) -> None:
        while True:
            self._pulsed = time.monotonic()
            self._heartbeat.notice()
            await asyncio.sleep(TICK)

    def _vitals(self) -> tuple[int, dict[str, Any], tuple[int, int]]:
        assert self._assembly is not None
        threads = [*self._threads, *self.worker_threads()]
        told = self._assembly.health() | {"ledger": {"breaker": {"state": self._writer.state}}}
        return len(self._flights), told, (sum(thread.is_alive() for thread in threads), len(threads))

    def _begin(self, works: list[Work]) -> list[asyncio.Task[None]]:
        assert self._assembly is not None
        return self._flights.begin(works, self._assembly.pipeline.carry)

    def _call_soon(self, call: Callable[..., object], *arguments: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(call, *arguments)
