"""Claiming: rows that are due, orphaned or owe a report come into a worker's hands, each into one worker's only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from psycopg import Cursor
from psycopg.rows import dict_row

from deliveries.contract import PushRequest
from deliveries.ledger.change import ALIVE, Hand
from deliveries.models import Status
from deliveries.work import Delivery, Work

_TAKE = """
UPDATE notifications n
SET worker_id = %(worker)s, fence = n.fence + 1, next_attempt_at = NULL, updated_at = now(),
    status = CASE WHEN n.status = 'sending' THEN 'pending' ELSE n.status END
FROM taken WHERE n.notification_id = taken.notification_id
RETURNING n.notification_id
"""

TAKE_DUE = f"""
WITH taken AS (
    SELECT notification_id FROM notifications
    WHERE worker_id IS NULL AND next_attempt_at <= now() AND high_priority = %(high)s
      AND (%(ids)s::text[] IS NULL OR notification_id = ANY(%(ids)s)) AND {ALIVE}
    ORDER BY next_attempt_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
{_TAKE}"""

TAKE_ORPHANS = f"""
WITH taken AS (
    SELECT n.notification_id FROM notifications n LEFT JOIN workers owner ON owner.id = n.worker_id
    WHERE n.worker_id IS NOT NULL AND n.worker_id <> %(worker)s AND {ALIVE}
      AND (owner.id IS NULL OR owner.heartbeat_at < now() - make_interval(secs => %(lease)s))
    ORDER BY n.high_priority DESC LIMIT %(limit)s FOR UPDATE OF n SKIP LOCKED
)
{_TAKE}"""

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

LOAD = """
SELECT notification_id, request, fence, high_priority, status, attempts, error_code, error_message, ended_at,
       report_attempts, reported_status, resolve_again, cancel_reason,
       extract(epoch FROM expires_at - now())::float8 AS expires_in
FROM notifications WHERE notification_id = ANY(%(ids)s)
"""

LOAD_DELIVERIES = """
SELECT d.id, d.notification_id, d.user_id, d.device_token, d.platform, d.title, d.body, d.provider, d.status,
       d.attempts, d.error_code, d.error_message, d.exhausted, d.forced_resends > 0 AS sent_before,
       n.resent_at IS NULL OR d.updated_at >= n.resent_at AS is_current,
       coalesce(extract(epoch FROM d.next_attempt_at - now()), 0)::float8 AS due_in, d.data
FROM push_deliveries d JOIN notifications n USING (notification_id)
WHERE notification_id = ANY(%(ids)s) ORDER BY d.id
"""


def _taken(cursor: Cursor[Any], statement: str, parameters: dict[str, Any]) -> list[str]:
    cursor.execute(statement, parameters)
    return [row[0] for row in cursor.fetchall()]


def _load(cursor: Cursor[Any], ids: list[str]) -> list[Work]:
    """Counts what is unknown about the claimed notifications; returns them with their deliveries as they stand now."""
    if not ids:
        return []
    cursor.execute(COUNT_UNKNOWN, {"ids": ids})
    with cursor.connection.cursor(row_factory=dict_row) as rows:
        works = {row["notification_id"]: _work(row) for row in rows.execute(LOAD, {"ids": ids})}
        for row in rows.execute(LOAD_DELIVERIES, {"ids": ids}):
            works[row["notification_id"]].deliveries.append(Delivery(**row | {"status": Status(row["status"])}))
    return list(works.values())


def _work(row: dict[str, Any]) -> Work:
    return Work(
        request=PushRequest.model_validate(row["request"]),
        fence=row["fence"],
        high_priority=row["high_priority"],
        expires_at=time.monotonic() + row["expires_in"],
        status=Status(row["status"]),
        attempts=row["attempts"],
        error_code=row["error_code"],
        error_message=row["error_message"],
        ended_at=row["ended_at"],
        report_attempts=row["report_attempts"],
        reported_status=Status(row["reported_status"]) if row["reported_status"] else None,
        resolve_again=row["resolve_again"],
        cancel_reason=row["cancel_reason"],
    )


@dataclass(slots=True)
class Claim:
    """Claims up to `limit` due notifications, high priority first; of `ids` only, if given. Results in their Work."""

    rank: ClassVar[int] = 7

    limit: int
    ids: list[str] | None = None

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Claim], hand: Hand) -> list[list[Work]]:
        return [change._claim(cursor, hand) for change in changes]

    def _claim(self, cursor: Cursor[Any], hand: Hand) -> list[Work]:
        ids: list[str] = []
        for high in (True, False):
            parameters = hand.parameters() | {
                "high": high,
                "ids": self.ids,
                "limit": self.limit - len(ids),
            }
            ids += _taken(cursor, TAKE_DUE, parameters)
        return _load(cursor, ids)


@dataclass(slots=True)
class ClaimOrphans:
    """Claims up to `limit` notifications whose worker is gone. Results in their Work; unknown outcomes are counted."""

    rank: ClassVar[int] = 8

    limit: int

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[ClaimOrphans], hand: Hand) -> list[list[Work]]:
        return [change._claim(cursor, hand) for change in changes]

    def _claim(self, cursor: Cursor[Any], hand: Hand) -> list[Work]:
        ids = _taken(cursor, TAKE_ORPHANS, hand.parameters() | {"limit": self.limit})
        return _load(cursor, ids)


FORGOTTEN = """
SELECT notification_id FROM notifications
WHERE worker_id = %(worker)s AND updated_at < now() - make_interval(secs => %(lease)s) FOR UPDATE
"""

OWN = "SELECT notification_id FROM notifications WHERE worker_id = %(worker)s FOR UPDATE"

RELEASE = """
UPDATE notifications SET worker_id = NULL, fence = fence + 1, next_attempt_at = now(), updated_at = now(),
    status = CASE WHEN status = 'sending' THEN 'pending' ELSE status END
WHERE worker_id = %(worker)s AND notification_id = ANY(%(ids)s)
"""


def _release(cursor: Cursor[Any], ids: list[str], hand: Hand) -> int:
    """Makes rows of this worker due for anybody; returns how many."""
    if ids:
        cursor.execute(COUNT_UNKNOWN, {"ids": ids})
        cursor.execute(RELEASE, hand.parameters() | {"ids": ids})
    return len(ids)


@dataclass(slots=True)
class Forgotten:
    """Puts down rows that stand in this worker's name for a lease or longer without being in `held`.

    They come from a claim whose answer was lost, or a coroutine that ended without a word. Results in how many.
    """

    rank: ClassVar[int] = 9

    held: frozenset[str]

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Forgotten], hand: Hand) -> list[int]:
        return [change._put_down(cursor, hand) for change in changes]

    def _put_down(self, cursor: Cursor[Any], hand: Hand) -> int:
        ids = [row for row in _taken(cursor, FORGOTTEN, hand.parameters()) if row not in self.held]
        return _release(cursor, ids, hand)


@dataclass(slots=True)
class ReleaseWorker:
    """A worker leaves: what is still in its name is due at once for the others. Results in how many rows that were."""

    rank: ClassVar[int] = 11

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[ReleaseWorker], hand: Hand) -> list[int]:
        cursor.execute(
            "SELECT notification_id FROM notifications WHERE worker_id = %(worker)s",
            hand.parameters(),
        )
        ids = [row[0] for row in cursor.fetchall()]
        if ids:
            cursor.execute(COUNT_UNKNOWN, {"ids": ids})
            cursor.execute(RELEASE, hand.parameters() | {"ids": ids})
        cursor.execute("DELETE FROM workers WHERE id = %(worker)s", hand.parameters())
        return [len(ids)] * len(changes)
