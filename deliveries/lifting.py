"""Lifting: a pause whose reason is gone is over at once, and what waited for it is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from deliveries.brakes import Brakes
from deliveries.clock import every_tick
from deliveries.ledger import PausesOver, TidyBrakes, Wake, Writer
from providers.registry import Carriers

#: Notifications that are woken up in a round: all that come due in a second are claimed by somebody.
WAKE_LIMIT = 1000

#: Seconds between two looks for brakes that are old enough to be forgotten.
TIDY = 60.0


class BrakeWatch:
    """Lifts the brakes of this process once it is let in again, and wakes up what waits for brakes that were lifted.

    `alive` says whether this worker's heartbeat is good.
    """

    def __init__(self, writer: Writer, carriers: Carriers, brakes: Brakes, alive: Callable[[], bool]) -> None:
        self._writer = writer
        self._carriers = carriers
        self._brakes = brakes
        self._alive = alive
        self._tidied_at = 0.0

    async def run(self) -> None:
        """Looks until cancelled, on a clock of its own."""
        await every_tick(self.tick, "The watch over the brakes")

    async def tick(self) -> None:
        """One round. Asks the file system only while there is trouble with credentials."""
        if not self._alive():
            return
        self._brakes.tell_of_ends()
        lifts = self._brakes.lifts(self._carriers.mended()) if self._brakes.shut_out() else []
        if pauses := self._brakes.pauses():
            [over] = await self._writer.write(PausesOver(pauses))
            self._brakes.are_over(over)
        await self._writer.write(*lifts, *self._tidying(), Wake(WAKE_LIMIT))

    def _tidying(self) -> list[TidyBrakes]:
        now = asyncio.get_running_loop().time()
        if now - self._tidied_at < TIDY:
            return []
        self._tidied_at = now
        return [TidyBrakes()]
