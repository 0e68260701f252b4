"""The quarantine: notifications whose worker has stopped are carried a few at a time, so that the guilty one is found.

A worker has hundreds in work when it stops, and one of them may be the reason. All are suspects then, of which only one
group is in work at a time. Those whose group stops its worker again are carried one by one; the one that does it for
the third time ends (`deliveries.endings`). The others get through within seconds, and then are suspects no more.
"""

from __future__ import annotations

import asyncio

from deliveries.clock import every_tick
from deliveries.heartbeat import Heartbeat
from deliveries.ledger import ClaimSuspects
from deliveries.ledger.claiming import GROUP
from deliveries.starting import Starter


class Quarantine:
    """Carries suspects, one group after the other."""

    def __init__(self, starter: Starter, heartbeat: Heartbeat) -> None:
        self._starter = starter
        self._heartbeat = heartbeat

    async def run(self) -> None:
        """Carries until cancelled, on a clock of its own: to wait for a group must not hold up the dispatcher."""
        await every_tick(self.tick, "The quarantine")

    async def tick(self) -> None:
        """One group after the other, until none is left or there is no place. Each lands before the next is claimed."""
        while self._heartbeat.alive() and (group := await self._starter.start(ClaimSuspects, GROUP)):
            await asyncio.wait(group)
