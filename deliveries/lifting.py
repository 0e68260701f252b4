"""Lifting: a pause whose reason is gone is over at once, and what waited for it is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from deliveries.brakes import Brakes
from deliveries.clock import every_tick
from deliveries.ledger import TidyBrakes, Wake, Writer
from providers.registry import Carriers

#: Notifications that are woken up in a round: all that come due in a second are claimed by somebody.
WAKE_LIMIT = 1000

#: Seconds for which a lifted brake is looked at: a send that was held in the last moment is put down a little later.
LATE = 10.0

#: Seconds between two looks for what processes have left behind that are gone.
TIDY = 10.0


class BrakeWatch:
    """Lifts the brakes of this process once it is let in again, and those of processes that are gone.

    `alive` says whether this worker's heartbeat is good.
    """

    def __init__(self, writer: Writer, carriers: Carriers, brakes: Brakes, alive: Callable[[], bool]) -> None:
        self._writer = writer
        self._carriers = carriers
        self._brakes = brakes
        self._alive = alive
        self._waking: dict[str, float] = {}  # keys of brakes that were lifted, and until when they are looked at
        self._tidied_at = 0.0

    async def run(self) -> None:
        """Looks until cancelled, on a clock of its own."""
        await every_tick(self.tick, "The watch over the brakes")

    async def tick(self) -> None:
        """One round. Asks the file system only while there is trouble with credentials."""
        if not self._alive():
            return
        self._brakes.tell_of_ends()
        if self._brakes.shut_out:
            await self._lift()
        await self._tidy()
        await self._wake()

    async def _lift(self) -> None:
        for provider in self._brakes.over(self._carriers.mended()):
            lift = self._brakes.lift(provider)
            await self._writer.write(lift)
            self._brakes.lifted(provider)
            self._woken_soon(lift.key)

    async def _tidy(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._tidied_at >= TIDY:
            self._tidied_at = now
            [abandoned] = await self._writer.write(TidyBrakes())
            for key in abandoned:
                self._woken_soon(key)

    async def _wake(self) -> None:
        now = asyncio.get_running_loop().time()
        for key, until in list(self._waking.items()):
            [woken] = await self._writer.write(Wake(key, WAKE_LIMIT))
            if not woken and until < now:
                del self._waking[key]

    def _woken_soon(self, key: str) -> None:
        self._waking[key] = asyncio.get_running_loop().time() + LATE
