"""The tally office: keeps the figures of the dashboard, which are counted from the ledger every few seconds.

It costs the notifications' own way nothing: PostgreSQL counts what has ended, on a connection of the office's own, so
that no commit waits behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from deliveries.clock import every_tick
from deliveries.ledger.asking import answer
from deliveries.ledger.change import Hand
from deliveries.ledger.tallying import count_on

#: Seconds between two rounds, and those for which one goes on while there is something to catch up with.
PAUSE = 10.0
LONGEST_ROUND = 5.0
#: How many times as long as a round the pause after it is, at least: counting takes a tenth of PostgreSQL's one core.
REST = 10
#: Seconds that PostgreSQL is given for one piece: five minutes at full speed take it three.
PATIENCE = 30.0


class TallyOffice:
    """Counts in the name of one worker; `alive` says whether its heartbeat is good."""

    def __init__(self, conninfo: str, hand: Hand, alive: Callable[[], bool]) -> None:
        self._conninfo = conninfo
        self._count_on = partial(count_on, hand=hand)
        self._alive = alive
        self._due = float("-inf")

    async def run(self) -> None:
        """Counts until cancelled, on a clock of its own."""
        await every_tick(self.tick, "The tally office")

    async def tick(self) -> None:
        """A round, if it is time for one. Raises psycopg.Error and TimeoutError."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        if begun < self._due or not self._alive():
            return
        try:
            await self.go_round(begun + LONGEST_ROUND)
        finally:
            # Also after one that was given up: PostgreSQL may have worked on it all the while.
            self._due = max(begun + PAUSE, clock() + REST * (clock() - begun))

    async def go_round(self, end: float) -> None:
        """Counts what is new; what there is to catch up with piece by piece, until that time of the loop's."""
        while await answer(self._conninfo, self._count_on, PATIENCE):
            if asyncio.get_running_loop().time() > end:
                return
