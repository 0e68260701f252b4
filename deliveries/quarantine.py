"""The quarantine: notifications whose worker has stopped are carried a few at a time, so that the guilty one is found.

A worker has hundreds in work when it stops, and one of them may be the reason. All are suspects then, of which only a
few are in work at a time, and more as others get through: those are suspects no more. What is in work with its worker
when it stops again is carried with nothing else beside it; with the third stop it ends (`deliveries.endings`).
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic

from deliveries.clock import TICK, every_tick
from deliveries.heartbeat import Heartbeat
from deliveries.ledger import ClaimSuspects
from deliveries.starting import Starter

#: How many suspects a process has in work at first, and at most: one more for each that has landed. The guilty one
#: takes with it as many as are in work beside it, and those go one by one.
FEW, MANY = 20, 100

#: Seconds after which one in work is not counted any more: what hangs for so long has not stopped its worker.
PATIENCE = 60.0


class Quarantine:
    """Carries suspects: those with which a worker stopped once beside each other, then any others one by one."""

    def __init__(self, starter: Starter, heartbeat: Heartbeat) -> None:
        self._starter = starter
        self._heartbeat = heartbeat
        self._in_work: dict[asyncio.Task[None], float] = {}  # since when, on the monotonic clock
        self._alone = False
        self._landed = 0

    async def run(self) -> None:
        """Carries until cancelled, on a clock of its own: to wait for suspects must not hold up the dispatcher."""
        await every_tick(self.tick, "The quarantine")

    async def tick(self) -> None:
        """Whenever some land, the next ones start; until none is left, or there is no place."""
        while self._heartbeat.alive():
            started = await self._start()
            self._in_work |= dict.fromkeys(started, monotonic())
            if not self._in_work:
                return
            await asyncio.wait(self._in_work, timeout=TICK, return_when=asyncio.FIRST_COMPLETED)
            self._landed += sum(task.done() for task in self._in_work)
            last = monotonic() - PATIENCE
            self._in_work = {task: since for task, since in self._in_work.items() if not task.done() and since > last}

    async def _start(self) -> list[asyncio.Task[None]]:
        """Starts what there is room for. Those with which it stopped once go first: hardly one of them is guilty."""
        if self._in_work and self._alone:
            return []
        self._alone = False
        room = min(FEW + self._landed, MANY) - len(self._in_work)
        started = await self._starter.start(ClaimSuspects, room)
        if started or self._in_work:
            return started
        self._alone = True
        return await self._starter.start(partial(ClaimSuspects, again=True), 1)
