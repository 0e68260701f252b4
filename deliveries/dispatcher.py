"""The dispatcher: once a second it takes up rows that are due, orphaned or owe something, whoever put them there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from deliveries.clock import every_tick
from deliveries.heartbeat import Heartbeat
from deliveries.ledger import Claim, ClaimOrphans, Forgotten, Writer
from deliveries.ledger.faults import describe
from deliveries.places import Places
from deliveries.work import Work

logger = logging.getLogger(__name__)

#: Rows claimed at a time: enough to be busy, little enough to leave some for the other workers.
CLAIM_LIMIT = 200


class Dispatcher:
    """Claims rows for this worker and starts the pipeline on them, never more than there are places for."""

    def __init__(
        self,
        writer: Writer,
        places: Places,
        heartbeat: Heartbeat,
        start: Callable[[list[Work]], None],
        held: Callable[[], frozenset[str]],
        lease: float,
    ) -> None:
        self._writer = writer
        self._places = places
        self._heartbeat = heartbeat
        self._start = start
        self._held = held
        self._lease = lease
        self._swept_at = 0.0

    async def run(self) -> None:
        """Ticks until cancelled."""
        await every_tick(self.tick, "The dispatcher")

    async def tick(self) -> None:
        """One round. Does nothing while this worker's heartbeat is late."""
        if not self._heartbeat.alive():
            return
        while await self._claim(Claim) == CLAIM_LIMIT:
            pass
        if self._heartbeat.steady_for > self._lease:
            await self._claim(ClaimOrphans)
            await self._sweep()

    async def claim(self, ids: list[str]) -> None:
        """Takes up these notifications if they are due: somebody has just put them there."""
        try:
            await self._claim(lambda limit: Claim(limit, ids))
        except Exception as error:  # noqa: BLE001 - a wake-up is a hint, the next round finds the rows
            logger.error("A wake-up could not be followed: %s", describe(error))  # noqa: TRY400

    async def _claim(self, kind: Callable[[int], Claim | ClaimOrphans]) -> int:
        """Claims as many as there are places for, starts them, and returns how many those were."""
        places = self._places.take_up_to(CLAIM_LIMIT)
        works: list[Work] = []
        try:
            if places:
                [works] = await self._writer.write(kind(places))
        finally:
            self._places.give_back(places - len(works))
        self._start(works)
        return len(works)

    async def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._swept_at < self._lease:
            return
        self._swept_at = now
        [forgotten] = await self._writer.write(Forgotten(self._held()))
        if forgotten:
            logger.warning("Put down %d notifications that this worker held without working on them", forgotten)
