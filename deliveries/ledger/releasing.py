"""Releasing: rows whose worker is gone, leaves or forgot them are due at once for anybody, in nobody's hands."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.change import ALIVE, Hand

# What is still `sending` when somebody else takes it over may have arrived or not: it is counted, written down, and
# the notification's own policy decides whether it is sent again.
COUNT_UNKNOWN = """
WITH unknown AS (
    UPDATE push_deliveries d
    SET unknown_count = d.unknown_count + 1, next_attempt_at = NULL, updated_at = now(),
        status = CASE WHEN n.at_most_once THEN 'failed' ELSE 'pending' END,
        error_code = 'unknown_outcome',
        error_message = 'Its worker stopped before it knew the outcome; the push may have arrived or not.'
    FROM notifications n
    WHERE d.notification_id = ANY(%(ids)s) AND d.status = 'sending' AND n.notification_id = d.notification_id
    RETURNING d.notification_id, d.id, d.error_code, d.error_message
)
INSERT INTO push_attempts (notification_id, delivery_id, stage, outcome, error_code, error_message)
SELECT notification_id, id, 'worker', 'unknown', error_code, error_message FROM unknown
"""

# Of those that were sending, the line above says as much. Before it, for afterwards nothing is `sending` any more.
WRITE_DOWN_STOPPED = """
INSERT INTO push_attempts (notification_id, stage, outcome, error_code, error_message)
SELECT orphan, 'worker', 'retry', 'worker_stopped', 'Its worker stopped while it had it in work.'
FROM unnest(%(ids)s::text[]) AS orphan
WHERE NOT EXISTS (SELECT FROM push_deliveries d WHERE d.notification_id = orphan AND d.status = 'sending')
"""

RELEASE = """
UPDATE notifications SET worker_id = NULL, fence = fence + 1, next_attempt_at = now(), updated_at = now(),
    status = CASE WHEN status = 'sending' THEN 'pending' ELSE status END, crashes = least(crashes, 999) + %(crashes)s
WHERE notification_id = ANY(%(ids)s)
"""

# From the workers to their rows: the other way round, every second, all that is in work would be looked at.
ORPHANS = f"""
SELECT n.notification_id FROM notifications n
WHERE n.worker_id IS NOT NULL AND {ALIVE} AND n.worker_id = ANY(ARRAY(
    SELECT id FROM workers
    WHERE heartbeat_at < now() - make_interval(secs => %(lease)s) AND id <> %(worker)s))
ORDER BY n.high_priority DESC LIMIT %(limit)s FOR UPDATE OF n SKIP LOCKED
"""

FORGOTTEN = """
SELECT notification_id FROM notifications
WHERE worker_id = %(worker)s AND updated_at < now() - make_interval(secs => %(lease)s) FOR UPDATE
"""

OWN = "SELECT notification_id FROM notifications WHERE worker_id = %(worker)s FOR UPDATE"


def taken(cursor: Cursor[Any], statement: str, parameters: dict[str, Any]) -> list[str]:
    """The ids of the rows that the statement has claimed or locked."""
    cursor.execute(statement, parameters)
    return [row[0] for row in cursor.fetchall()]


def _release(cursor: Cursor[Any], ids: list[str], *, crashes: int = 0) -> int:
    """Makes rows, which are locked, due for anybody; returns how many."""
    if ids:
        cursor.execute(COUNT_UNKNOWN, {"ids": ids})
        cursor.execute(RELEASE, {"ids": ids, "crashes": crashes})
    return len(ids)


@dataclass(slots=True)
class ReleaseOrphans:
    """Puts down up to `limit` notifications whose worker is gone, high priority first. Results in how many.

    Each of them may be the reason: that is counted. A worker that only lost the database, for longer than its lease,
    cannot be told from one that stopped.
    """

    rank: ClassVar[int] = 8

    limit: int

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[ReleaseOrphans], hand: Hand) -> list[int]:
        return [change._put_down(cursor, hand) for change in changes]

    def _put_down(self, cursor: Cursor[Any], hand: Hand) -> int:
        ids = taken(cursor, ORPHANS, hand.parameters() | {"limit": self.limit})
        if ids:
            cursor.execute(WRITE_DOWN_STOPPED, {"ids": ids})
        return _release(cursor, ids, crashes=1)


@dataclass(slots=True)
class Forgotten:
    """Puts down rows that stand in this worker's name for a lease or longer without being in `held`.

    They come from a claim whose answer was lost, or a coroutine that ended without a word. Results in how many.

    Over an outage it may be applied long after `held` was true, with others in work by then: a row must have stood for
    a lease at that time already.
    """

    rank: ClassVar[int] = 9

    held: frozenset[str]
    asked_at: float = field(default_factory=time.monotonic)

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Forgotten], hand: Hand) -> list[int]:
        return [change._put_down(cursor, hand) for change in changes]

    def _put_down(self, cursor: Cursor[Any], hand: Hand) -> int:
        standing = hand.parameters() | {"lease": hand.lease + time.monotonic() - self.asked_at}
        return _release(cursor, [id for id in taken(cursor, FORGOTTEN, standing) if id not in self.held])


@dataclass(slots=True)
class ReleaseWorker:
    """A worker leaves: what is still in its name is due at once for the others. Results in how many rows that were."""

    rank: ClassVar[int] = 11

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[ReleaseWorker], hand: Hand) -> list[int]:
        released = _release(cursor, taken(cursor, OWN, hand.parameters()))
        cursor.execute("DELETE FROM workers WHERE id = %(worker)s", hand.parameters())
        return [released] * len(changes)
