"""Debts: word that a neighbour is owed of rows in the ledger, told when due and owed until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from deliveries.ledger import Writer
from deliveries.ledger.mail import FEW, Owed, PaidReport
from deliveries.neighbours.upstreams import Refusal
from deliveries.outcomes import TryAgain
from deliveries.retries import Backoff

Row = dict[str, Any]
#: Tells the neighbour of one row; raises Refusal or TryAgain.
Tell = Callable[[Row], Awaitable[None]]


class Debts:
    """One kind of debt: `tell` tells of the rows that `owed` takes, and what came of it is written down as `paid`."""

    def __init__(self, writer: Writer, owed: type[Owed], paid: type[PaidReport], tell: Tell, backoff: Backoff) -> None:
        self._writer = writer
        self._owed = owed
        self._paid = paid
        self._tell = tell
        self._backoff = backoff

    async def pay(self) -> None:
        """Tells of the rows that are due now, a few at a time, until all are or one could not be told."""
        while True:
            [rows] = await self._writer.write(self._owed())
            paid = await asyncio.gather(*map(self._pay, rows))
            if paid:
                await self._writer.write(*paid)
            if len(rows) < FEW or any(one.wait is not None for one in paid):
                return

    async def _pay(self, row: Row) -> PaidReport:
        try:
            await self._tell(row)
        except Refusal as refusal:
            return self._paid(row["id"], f"{refusal.http_status}: {refusal.reason}")
        except TryAgain as trouble:
            wait = self._backoff.wait(row["report_attempts"] + 1, trouble.retry_after)
            return self._paid(row["id"], trouble.reason, wait)
        return self._paid(row["id"])
