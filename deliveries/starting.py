"""Starting: rows are claimed for the places that are free, and the pipeline is started on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from deliveries.ledger import Claim, ClaimSuspects, Writer
from deliveries.places import Places
from deliveries.work import Work


class Starter:
    """Claims and starts, never more than there are places for. `begin` starts works on places taken for them."""

    def __init__(self, writer: Writer, places: Places, begin: Callable[[list[Work]], list[asyncio.Task[None]]]) -> None:
        self._writer = writer
        self._places = places
        self._begin = begin

    async def start(self, claim: Callable[[int], Claim | ClaimSuspects], at_most: int) -> list[asyncio.Task[None]]:
        """Returns the tasks of those that were claimed and started: none where there is no place, or nothing to do."""
        places = self._places.take_up_to(at_most)
        works: list[Work] = []
        try:
            if places:
                [works] = await self._writer.write(claim(places))
        finally:
            self._places.give_back(places - len(works))
        return self._begin(works)
