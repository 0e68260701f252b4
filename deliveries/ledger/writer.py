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

from deliveries.ledger.change import Change, Hand
from deliveries.ledger.connection import WritersConnection
from deliveries.ledger.faults import describe, is_held_up, is_passing

logger = logging.getLogger(__name__)

#: Changes are committed at most this many units at a time, which bounds a transaction's memory and its retry.
MAX_UNITS = 512

#: After a commit of so many units the writer lets more gather for some seconds: it is busy, and every commit costs the
#: same statements and thread switches however few units are in it. Idle, a change is committed at once.
BUSY_UNITS = 32
BUSY_PAUSE = 0.015

#: Seconds between attempts to reach a database that is away.
RECONNECT_WAIT = 0.5

#: While somebody's lock holds changes up, nothing waits for a lock for longer than this, so that the others go on; who
#: met it first has waited for as long as the connection allows. Every so many seconds those held up are tried again.
HASTE = "SET LOCAL lock_timeout = '100ms'"
HELD_UP_PAUSE = 0.5

Connect = Callable[[], WritersConnection]


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
        self.hand = hand
        self._connection: WritersConnection | None = None
        self._waiting: deque[Unit] = deque()
        self._held_up: deque[Unit] = deque()
        self._again_at = 0.0  # when the first of those held up is tried again
        self._wake = threading.Event()
        self._stopping = False
        self._give_up_at = float("inf")
        #: When it last asked the database for anything, by the monotonic clock; None while idle or cut off from it.
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
        self._give_up_at = time.monotonic() + timeout
        self.stop()
        return unit.results[0] if waiter.wait(timeout) and unit.error is None else None

    def stop(self) -> None:
        """Lets `run` return once everything submitted so far is committed."""
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        """Commits whatever has gathered, until stopped: at once when idle, in ever larger groups when busy."""
        while self._waiting or self._held_up or not self._stopping:
            if not self._waiting:
                self._wake.wait(HELD_UP_PAUSE if self._held_up else None)
            self._wake.clear()
            units = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_UNITS))]
            if units:
                self._commit(units, hasty=bool(self._held_up))
            self._try_held_up()
            self.busy_since = None
            if len(units) >= BUSY_UNITS and not self._stopping:
                time.sleep(BUSY_PAUSE)
        if self._connection is not None:
            self._connection.close()

    def _submit(self, units: list[Unit]) -> None:
        self._waiting.extend(units)
        self._wake.set()

    def _commit(self, units: list[Unit], *, hasty: bool) -> None:
        """Commits the units; where one of them is refused or held up, the others are committed without it."""
        while True:
            try:
                self._transact(units, hasty=hasty)
                return _settle(units)
            except Exception as error:  # noqa: BLE001 - each is told from the others below
                if is_held_up(error) or not is_passing(error):
                    return self._divide(units, error, hasty=hasty)
                self._reconnect_after(error)
                if time.monotonic() > self._give_up_at:
                    return _fail(units, error)

    def _divide(self, units: list[Unit], error: Exception, *, hasty: bool) -> None:
        """Halves the units until the one that is refused or held up stands alone."""
        held_up = is_held_up(error)
        if held_up and not hasty:
            logger.warning("Changes are held up, and tried again until they are not: %s", describe(error))
        if len(units) > 1:
            half = len(units) // 2
            for part in (units[:half], units[half:]):
                self._commit(part, hasty=hasty or held_up)
        elif held_up and time.monotonic() < self._give_up_at:
            self._held_up += units
            self._again_at = time.monotonic() + HELD_UP_PAUSE
        else:
            logger.error("A change was refused by the database: %s", describe(error))
            _fail(units, error)

    def _try_held_up(self) -> None:
        """Tries those again that were held up, the longest waiting first, up to one that still is.

        Whoever submitted one waits for it: nothing of theirs can have overtaken it.
        """
        while self._held_up and time.monotonic() >= self._again_at:
            self._commit([self._held_up.popleft()], hasty=True)

    def _transact(self, units: list[Unit], *, hasty: bool = False) -> None:
        if self._connection is None:
            self._connection = self._connect()
            self._connection.on_wait = self._moves
        changes = [(change, unit, place) for unit in units for place, change in enumerate(unit.changes)]
        for unit in units:
            unit.results = [None] * len(unit.changes)
        changes.sort(key=lambda entry: entry[0].rank)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            if hasty:
                cursor.execute(HASTE)
            for _, group in groupby(changes, key=lambda entry: entry[0].rank):
                entries = list(group)
                kind = type(entries[0][0])
                results = kind.apply(cursor, [entry[0] for entry in entries], self.hand)
                for (_, unit, place), result in zip(entries, results, strict=True):
                    unit.results[place] = result
        self.state = "closed"

    def _moves(self) -> None:
        self.busy_since = time.monotonic()

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
    _settle(units)


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
