"""The redrive office: redrives dead letters whose turn has come, and notes on the others why they cannot be."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import Any

import psycopg

from deliveries.clock import every_tick
from deliveries.ledger import Writer
from deliveries.ledger.audit import Audited
from deliveries.ledger.bulk_redriving import DueRedrives, KeepOpen
from deliveries.ledger.faults import describe
from deliveries.ledger.mail import FEW
from deliveries.ledger.resending import Resend
from deliveries.models import DeadLetter
from deliveries.operations import DONE, SENTENCES
from deliveries.redriving import NotReadable, redrive_of

#: A few at a time, so often in a round: what came due while no worker lived does not come all at once.
ROUNDS = 5


class RedriveOffice:
    """Goes its rounds in every worker; a letter is taken by one of them."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def run(self) -> None:
        """Redrives until cancelled, on a clock of its own."""
        await every_tick(self.tick, "The redrive office")

    async def tick(self) -> None:
        """One round over what is due now."""
        for _ in range(ROUNDS):
            [rows] = await self._writer.write(DueRedrives())
            for who, letters in groupby(sorted(rows, key=_asked), _asked):
                await self._redrive(list(letters), Audited(*who))
            if len(rows) < FEW:
                return

    async def _redrive(self, rows: list[dict[str, Any]], who: Audited) -> None:
        """Letters that one asker wants redriven, each by itself: one that the ledger refuses takes no other down."""
        letters = {row["notification_id"] if row["code"] == "exhausted" else row["id"]: row for row in rows}
        await asyncio.gather(*(self._one(_letter(row), who) for row in letters.values()))

    async def _one(self, letter: DeadLetter, who: Audited) -> None:
        try:
            code = await self._code(letter, who)
            why = "" if code in DONE else SENTENCES[code]
        except NotReadable as unreadable:
            why = str(unreadable)
        except psycopg.Error as error:
            why = f"The ledger refused it: {describe(error)}"
        if why:
            await self._writer.write(KeepOpen(letter.pk, why))

    async def _code(self, letter: DeadLetter, who: Audited) -> str:
        """What came of it, as of a single redrive. Raises NotReadable, psycopg.Error."""
        if letter.code == "exhausted":
            [resent] = await self._writer.write(Resend(letter.notification_id or "", who))
            return str(resent.code)
        [code] = await self._writer.write(redrive_of(letter, who))
        return str(code)


def _asked(row: dict[str, Any]) -> tuple[str, str]:
    return row["redrive_by"], row["redrive_reason"]


def _letter(row: dict[str, Any]) -> DeadLetter:
    return DeadLetter(**row)
