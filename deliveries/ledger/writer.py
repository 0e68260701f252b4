"""The group-committing writer: one thread, one connection, and in a commit whatever gathered during the last one."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

import psycopg

from deliveries.ledger.change import Change, Hand
from deliveries.ledger.faults import describe, is_passing

logger = logging.getLogger(__name__)

#: Changes are committed at most this many units at a time, which bounds a transaction's memory and its retry.
MAX_UNITS = 512

#: After a commit of so many units the writer lets more gather for some seconds: it is busy, and every commit costs the
#: same statements and thread switches however few units are in it. Idle, a change is committed at once.
BUSY_UNITS = 32
BUSY_PAUSE = 0.015

#: Seconds between attempts to reach a database that is away.
RECONNECT_WAIT = 0.5

Connect = Callable[[], psycopg.Connection[Any]]


class Waiter:
    """Who waits for units: a coroutine (`loop` and its future) or a thread, for all of its units at once."""

    __slots__ = ("_event", "_left", "future", "loop")

    def __init__(self, units: int, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop
        self.future = loop.create_future() if loop else None
        self._event = None if loop else threading.Event()
        self._left = units

    def settled(self, unit: Unit) -> None:
        """One of its units is committed or refused. Called in the loop's own thread where there is a loop."""
        self._left -= 1
        if self._event is not None:
            if not self._left:
                self._event.set()
        elif self.future is not None and not self.future.done():
            if unit.error is None:
                self.future.set_result(unit.results)
            else:
                self.future.set_exception(unit.error)

    def wait(self, timeout: float | None = None) -> bool:
        """For threads: True when all units are settled, False after `timeout` seconds."""
        assert self._event is not None
        return self._event.wait(timeout)


class Unit:
    """Changes that are committed together or not at all, and what came of it."""

    __slots__ = ("changes", "error", "results", "waiter")

    def __init__(self, changes: Sequence[Change], waiter: Waiter) -> None:
        self.changes = changes
        self.waiter = waiter
        self.results: list[Any] = []
        self.error: BaseException | None = None


class Writer:
    """Commits units of changes in the name of `hand`; runs in a thread that the engine starts with `run`."""

    def __init__(self, connect: Connect, hand: Hand) -> None:
        self._connect = connect
        self._hand = hand
        self._connection: psycopg.Connection[Any] | None = None
        self._waiting: deque[Unit] = deque()
        self._wake = threading.Event()
        self._stopping = False
        #: When its latest statement began, by the monotonic clock; None while it is idle or the database is away.
        self.busy_since: float | None = None
        #: The state of the ledger in a breaker's words: open from a commit that failed to the next that does not.
        self.state = "closed"

    async def write(self, *changes: Change) -> list[Any]:
        """Commits the changes together and returns their results. Raises what the database refuses them for.

        While the database is away it waits; it is for the caller's own end (cancellation) to give up.
        """
        waiter = Waiter(1, asyncio.get_running_loop())
        self._submit([Unit(changes, waiter)])
        assert waiter.future is not None
        return await waiter.future  # type: ignore[no-any-return]

    def write_from_thread(self, *units: Sequence[Change]) -> tuple[list[list[Any]], BaseException | None]:
        """The same for threads outside of the loop: commits each unit on its own.

        Returns their results in order, [None] for a refused one, and the first refusal if there was one.
        """
        waiter = Waiter(len(units))
        waiting = [Unit(changes, waiter) for changes in units]
        if waiting:
            self._submit(waiting)
            waiter.wait()
        refusal = next((unit.error for unit in waiting if unit.error is not None), None)
        return [unit.results for unit in waiting], refusal

    def finish(self, last: Change, timeout: float) -> Any:
        """Commits one last change and lets `run` return. Returns its result, None when it took longer than that."""
        waiter = Waiter(1)
        unit = Unit([last], waiter)
        self._submit([unit])
        self._stopping = True
        self._wake.set()
        return unit.results[0] if waiter.wait(timeout) and unit.error is None else None

    def stop(self) -> None:
        """Lets `run` return once everything submitted so far is committed."""
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        """Commits whatever has gathered, until stopped: at once when idle, in ever larger groups when busy."""
        while not (self._stopping and not self._waiting):
            self._wake.wait()
            self._wake.clear()
            while self._waiting:
                units = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_UNITS))]
                self._commit(units)
                _settle(units)
                self.busy_since = None
                if len(units) >= BUSY_UNITS and not self._stopping:
                    time.sleep(BUSY_PAUSE)
        if self._connection is not None:
            self._connection.close()

    def _submit(self, units: list[Unit]) -> None:
        self._waiting.extend(units)
        self._wake.set()

    def _commit(self, units: list[Unit]) -> None:
        """Commits the units; where one of them is refused, the others are committed without it."""
        while True:
            try:
                return self._transact(units)
            except Exception as error:  # noqa: BLE001 - each is told from the others below
                if not is_passing(error):
                    return self._without_the_refused(units, error)
                self._reconnect_after(error)
                if self._stopping:
                    return _fail(units, error)

    def _without_the_refused(self, units: list[Unit], error: Exception) -> None:
        """Halves the units until the refused one stands alone."""
        if len(units) == 1:
            logger.error("A change was refused by the database: %s", describe(error))
            return _fail(units, error)
        half = len(units) // 2
        self._commit(units[:half])
        return self._commit(units[half:])

    def _transact(self, units: list[Unit]) -> None:
        if self._connection is None:
            self._connection = self._connect()
        changes = [(change, unit, place) for unit in units for place, change in enumerate(unit.changes)]
        for unit in units:
            unit.results = [None] * len(unit.changes)
        changes.sort(key=lambda entry: entry[0].rank)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for _, group in groupby(changes, key=lambda entry: entry[0].rank):
                entries = list(group)
                kind = type(entries[0][0])
                self.busy_since = time.monotonic()
                results = kind.apply(cursor, [entry[0] for entry in entries], self._hand)
                for (_, unit, place), result in zip(entries, results, strict=True):
                    unit.results[place] = result
        self.state = "closed"

    def _reconnect_after(self, error: Exception) -> None:
        """Drops the connection; the same units are tried again on a new one."""
        self.busy_since, self.state = None, "open"
        logger.warning("The ledger cannot be written to, again in %.1f s: %s", RECONNECT_WAIT, describe(error))
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        time.sleep(RECONNECT_WAIT)


def _fail(units: list[Unit], error: BaseException) -> None:
    for unit in units:
        unit.error = error
        unit.results = [None] * len(unit.changes)


def _settle(units: list[Unit]) -> None:
    """Hands the results over: to waiting threads at once, to a loop in one call for all of its units."""
    by_loop: dict[asyncio.AbstractEventLoop | None, list[Unit]] = {}
    for unit in units:
        by_loop.setdefault(unit.waiter.loop, []).append(unit)
    for loop, settled in by_loop.items():
        if loop is None:
            _settle_all(settled)
        else:
            with suppress(RuntimeError):  # a loop that is closed has nobody left who waits
                loop.call_soon_threadsafe(_settle_all, settled)


def _settle_all(units: list[Unit]) -> None:
    for unit in units:
        unit.waiter.settled(unit)
