"""The notifications that this process carries: one coroutine and one place each."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from deliveries.ledger.faults import describe, traceable
from deliveries.places import Places
from deliveries.work import Work

logger = logging.getLogger(__name__)


class Flights:
    """Starts and counts coroutines. `begin` and `held` belong to the loop, `queue` to the threads that accept."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._queued: set[str] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def held(self) -> frozenset[str]:
        """The ids of all that this process works on or will as soon as there is a place."""
        return frozenset(id for id, _ in self._tasks) | frozenset(self._queued)

    def queue(self, works: list[Work], begin: Callable[[list[Work]], None]) -> None:
        """Begins works, from a thread, as places become free. Returns early when the places are closed."""
        self._queued.update(work.id for work in works)
        while works and (places := self._places.take(len(works))):
            begin(works[:places])
            works = works[places:]
        self._queued.difference_update(work.id for work in works)

    def begin(self, works: list[Work], carry: Callable[[Work], Coroutine[Any, Any, None]]) -> list[asyncio.Task[None]]:
        """Starts a coroutine for each work, on a place that was taken for it; the place is given back at its end.

        Returns their tasks, for who wants to know when they have landed.
        """
        tasks = []
        for work in works:
            self._queued.discard(work.id)
            key = (work.id, work.fence)
            self._tasks[key] = task = asyncio.create_task(carry(work))
            task.add_done_callback(lambda task, key=key: self._landed(key, task))  # type: ignore[misc]
            tasks.append(task)
        return tasks

    async def cancel(self) -> None:
        """Ends all that is still in flight."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wait(self, seconds: float) -> None:
        """Returns when nothing is in flight any more, or after that time. For threads."""
        deadline = time.monotonic() + seconds
        while self._tasks and time.monotonic() < deadline:
            time.sleep(0.02)

    def _landed(self, key: tuple[str, int], task: asyncio.Task[None]) -> None:
        self._places.give_back()
        self._tasks.pop(key, None)
        if task.cancelled() or (error := task.exception()) is None:
            return
        logger.error("Notification %s was left after an error: %s", key[0], describe(error), exc_info=traceable(error))
