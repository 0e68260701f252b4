"""Questions to the database that are given up after some seconds, whatever hangs: of health, doctor and tallies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
from psycopg.sql import SQL, Literal

from deliveries.ledger.connection import conninfo, spread

#: Seconds for connecting, however long the answer may take: a way that is frozen is not waited for.
CONNECTING = 5.0

Connection = psycopg.AsyncConnection[Any]
Answer = TypeVar("Answer")


def ask(question: Callable[[Connection], Awaitable[Answer]], seconds: float) -> Answer:
    """Returns the answer, over a connection of its own (3 ms). Raises psycopg.Error; TimeoutError while connecting.

    So many seconds for the question, and as many, or CONNECTING, for connecting; 2 to connect to each of several
    servers, where that is more. `statement_timeout` alone needs a server that works, and to cancel needs one that
    answers: psycopg waits another 10 s for it.
    """
    return asyncio.run(answer(conninfo(), question, seconds))


async def answer(address: str, question: Callable[[Connection], Awaitable[Answer]], seconds: float) -> Answer:
    """The same on a loop that is running. What the question changes it has to commit itself."""
    address, connecting = spread(address, min(seconds, CONNECTING))
    async with asyncio.timeout(connecting):
        connection = await psycopg.AsyncConnection.connect(address)
    end = asyncio.get_running_loop().call_later(seconds, connection.pgconn.finish)
    try:
        await connection.execute(SQL("SET LOCAL statement_timeout = {}").format(Literal(int(seconds * 1000))))
        return await question(connection)
    finally:
        end.cancel()
        await connection.close()
