"""The dispatcher: once a second it takes up rows that are due or owe something, and puts down those of dead workers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from deliveries.clock import every_tick
from deliveries.heartbeat import Heartbeat
from deliveries.ledger import Claim, Forgotten, ReleaseOrphans, Writer
from deliveries.ledger.faults import describe
from deliveries.starting import Starter

logger = logging.getLogger(__name__)

#: Rows claimed at a time: enough to be busy, little enough to leave some for the other workers.
CLAIM_LIMIT = 200

#: Claims in a round: after an outage of hours, no process lets more than so many times as many rows a second loose on
#: the services around it, however many are due.
CLAIMS = 10

#: Rows of dead workers that are put down in a round: all that one of them had in flight, as a rule.
RELEASE_LIMIT = 1000


class Dispatcher:
    """Claims rows for this worker and starts the pipeline on them, never more than there are places for."""

    def __init__(
        self,
        writer: Writer,
        starter: Starter,
        heartbeat: Heartbeat,
        held: Callable[[], frozenset[str]],
        probes: Callable[[], int | None],
        lease: float,
    ) -> None:
        self._writer = writer
        self._starter = starter
        self._heartbeat = heartbeat
        self._held = held
        self._probes = probes
        self._lease = lease
        self._swept_at = 0.0

    async def run(self) -> None:
        """Ticks until cancelled."""
        await every_tick(self.tick, "The dispatcher")

    async def tick(self) -> None:
        """One round. Does nothing while this worker's heartbeat is late."""
        if not self._heartbeat.alive():
            return
        await self._claim()
        if self._heartbeat.steady_for > self._lease:
            await self._release()
            await self._sweep()

    async def claim(self, ids: list[str]) -> None:
        """Takes up these notifications if they are due: somebody has just put them there."""
        try:
            await self._starter.start(lambda limit: Claim(limit, ids), CLAIM_LIMIT)
        except Exception as error:  # noqa: BLE001 - a wake-up is a hint, the next round finds the rows
            logger.error("A wake-up could not be followed: %s", describe(error))  # noqa: TRY400

    async def _claim(self) -> None:
        probes = self._probes()
        if probes is not None:
            await self._starter.start(Claim, probes)
            await self._starter.start(lambda limit: Claim(limit, sends=False), CLAIM_LIMIT)
            return
        for _ in range(CLAIMS):
            if len(await self._starter.start(Claim, CLAIM_LIMIT)) < CLAIM_LIMIT:
                break

    async def _release(self) -> None:
        [released] = await self._writer.write(ReleaseOrphans(RELEASE_LIMIT))
        if released:
            logger.warning("Put down %d notifications whose worker has stopped: they are suspects now", released)

    async def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._swept_at < self._lease:
            return
        self._swept_at = now
        [forgotten] = await self._writer.write(Forgotten(self._held()))
        if forgotten:
            logger.warning("Put down %d notifications that this worker held without working on them", forgotten)
