"""The heartbeat: says on a connection of its own that this worker lives, so that nobody takes its rows.

It hears what time it is in return.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from deliveries.ledger.change import Hand
from deliveries.ledger.connection import spread
from deliveries.ledger.faults import describe
from deliveries.prune_guard import Verdicts
from deliveries.wall_clock import WallClock

logger = logging.getLogger(__name__)

# What others have counted, by provider and window of the prune guard's. A worker that was killed counts on for as long
# as the window is; one that left has taken its count along. No beat comes later than a lease.
BEAT = """
INSERT INTO workers (
    id, host, pid, in_flight, breakers, threads_alive, threads_expected, started_at, heartbeat_at)
VALUES (
    %(worker)s, %(host)s, %(pid)s, %(in_flight)s, %(breakers)s, %(threads_alive)s, %(threads_expected)s, now(), now())
ON CONFLICT (id) DO UPDATE
SET heartbeat_at = now(), in_flight = excluded.in_flight, breakers = excluded.breakers,
    threads_alive = excluded.threads_alive, threads_expected = excluded.threads_expected
RETURNING clock_timestamp(), (
    SELECT json_agg(counted) FROM (
        SELECT told.key AS name, own.seconds, sum(own.accepted) AS accepted, sum(own.dead) AS dead
        FROM workers w, jsonb_each(w.breakers) told,
             jsonb_to_recordset(told.value->'verdicts'->'windows') AS own(seconds int, accepted int, dead int)
        WHERE w.id <> %(worker)s AND w.heartbeat_at > now() - make_interval(secs => greatest(own.seconds, %(lease)s))
        GROUP BY told.key, own.seconds) counted)
"""

#: Workers that have been silent for a day are forgotten, once their rows are in other hands: by it these are found.
FORGET = """
DELETE FROM workers w WHERE heartbeat_at < now() - interval '1 day'
AND NOT EXISTS (SELECT FROM notifications n WHERE n.worker_id = w.id)
"""

#: Those whose rows are still in their name, though they were forgotten or their own rows deleted.
REMEMBER = """
INSERT INTO workers (id, host, pid, heartbeat_at)
SELECT DISTINCT worker_id, 'unknown', 0, 'epoch'::timestamptz FROM notifications n
WHERE worker_id IS NOT NULL AND NOT EXISTS (SELECT FROM workers w WHERE w.id = n.worker_id)
ON CONFLICT DO NOTHING
"""

#: What a beat tells: how many notifications are in flight, the state of the breakers, and of the process's threads how
#: many are alive, of how many.
Vitals = Callable[[], tuple[int, dict[str, Any], tuple[int, int]]]


class Heartbeat:
    """Beats five times a lease. `alive` is False once so much time has passed that others may soon call us dead."""

    def __init__(self, conninfo: str, hand: Hand, vitals: Vitals) -> None:
        self._conninfo, self._connecting = spread(conninfo, hand.lease / 5)
        self._hand = hand
        self._vitals = vitals
        self.patience = hand.lease * 0.8  # seconds without a beat until this worker may start nothing
        self.clock = WallClock()
        #: What other workers have counted, by provider and window, as of the last beat.
        self.others: dict[tuple[str, int], Verdicts] = {}
        self.last = float("-inf")  # on the monotonic clock
        self._since = float("inf")
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._fault = ""
        self._cut_off_since: float | None = None

    def alive(self) -> bool:
        """Whether this worker may start sends. The margin of a fifth of the lease covers the way to FCM."""
        return time.monotonic() - self.last < self.patience

    @property
    def steady_for(self) -> float:
        """Seconds since the database could be reached again; before it is a lease, nobody else can be called dead."""
        return time.monotonic() - self._since if self.alive() else 0.0

    async def start(self) -> None:
        """Beats for the first time, as soon as the database is there."""
        while not await self._try():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(1)

    async def run(self) -> None:
        """Beats until cancelled; after a beat that failed, the next comes sooner."""
        pause = self._hand.lease / 5
        while True:
            await asyncio.sleep(pause)
            pause = self._hand.lease / (5 if await self._try() else 20)

    async def _try(self) -> bool:
        try:
            await self._beat(self._hand.lease / 5)
        except Exception as error:  # noqa: BLE001 - whatever it was, the next beat may go better
            if (fault := describe(error)) != self._fault:
                logger.warning("The heartbeat does not reach the database: %s", fault)
            self._fault = fault
            await self._drop()
            return False
        self._fault = ""
        return True

    def notice(self) -> None:
        """Says once that this worker is cut off, and once that it no longer is; to be called every second.

        A beat that hangs cannot say so itself.
        """
        if self.alive() and self._cut_off_since is not None:
            silence = self.last - self._cut_off_since
            logger.warning("The database answers again after %.0f s: this worker sends and takes up again", silence)
            self._cut_off_since = None
        elif not self.alive() and self._cut_off_since is None:
            self._cut_off_since = self.last
            silence = time.monotonic() - self.last
            logger.error(
                "Cut off from the database since %s: this worker starts no sends and takes nothing up until the "
                "database answers. Others take over what it has in work when its lease of %g s is over",
                f"{self.clock.now() - timedelta(seconds=silence):%Y-%m-%dT%H:%M:%SZ}",
                self._hand.lease,
            )

    async def stop(self) -> None:
        await self._drop()

    async def _beat(self, patience: float) -> None:
        """Raises psycopg.Error, and TimeoutError: after so many seconds for the answer, or those for connecting."""
        begun = time.monotonic()
        is_new = self._connection is None
        if self._connection is None:
            async with asyncio.timeout(self._connecting):
                self._connection = await psycopg.AsyncConnection.connect(
                    self._conninfo, autocommit=True, application_name="push-heartbeat"
                )
        loop = asyncio.get_running_loop()
        end = loop.call_later(patience, _hang_up, self._connection)
        try:
            await self._tell(self._connection)
            if is_new:
                await self._connection.execute(FORGET)
                await self._connection.execute(REMEMBER)
        except psycopg.OperationalError:
            if loop.time() < end.when():
                raise
            raise TimeoutError(f"no answer within {patience:g} s") from None
        finally:
            end.cancel()
        if not self.alive():
            self._since = begun
        self.last = begun

    async def _tell(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Beats, and learns what time it is and what the others have counted."""
        in_flight, breakers, (alive, expected) = self._vitals()
        told = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "in_flight": in_flight,
            "threads_alive": alive,
            "threads_expected": expected,
            "breakers": Jsonb(breakers),
        }
        asked = time.monotonic()
        answer = await connection.execute(BEAT, self._hand.parameters() | told)
        now, others = await answer.fetchone() or (self.clock.now(), None)
        self.clock.learn(now, asked)
        self.others = {(own["name"], own["seconds"]): Verdicts(own["accepted"], own["dead"]) for own in others or []}

    async def _drop(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()


def _hang_up(connection: psycopg.AsyncConnection[Any]) -> None:
    """Ends whoever waits for its answer, at once.

    Cancelled, psycopg would first ask the server to cancel as well, and wait for that: 10 s more on a connection that
    has fallen silent, in which the lease is lost though the database is well.
    """
    with socket.socket(fileno=os.dup(connection.fileno())) as stream:
        stream.shutdown(socket.SHUT_RDWR)
