"""Waking: what waits for a brake that was lifted is due at once, and asks for its place anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.change import Hand
from deliveries.ledger.holding import LOCK

LIFTED = "SELECT unnest(earlier_rounds) FROM brakes WHERE lifted"

WAITS = "d.status = 'pending' AND d.next_attempt_at > now()"

# Notifications before deliveries, as all others lock them, and of both what nobody has locked: it waits for nobody.
WAKE = f"""
WITH waiting AS (
    SELECT n.notification_id FROM notifications n
    WHERE n.worker_id IS NULL AND n.status = 'pending' AND n.notification_id IN (
        SELECT d.notification_id FROM push_deliveries d WHERE d.brake_round = ANY(%(rounds)s) AND {WAITS})
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), held AS (
    SELECT d.id FROM push_deliveries d
    WHERE d.brake_round = ANY(%(rounds)s) AND {WAITS}
      AND d.notification_id IN (SELECT notification_id FROM waiting) FOR UPDATE SKIP LOCKED
), woken AS (
    UPDATE push_deliveries d SET next_attempt_at = now(), brake_round = NULL, updated_at = now()
    FROM held WHERE d.id = held.id
)
UPDATE notifications n SET next_attempt_at = least(n.next_attempt_at, now()), updated_at = now()
FROM waiting WHERE n.notification_id = waiting.notification_id
"""

# Those that somebody has in work, or has locked, are left for the next time.
ALL_WOKEN = f"""
UPDATE brakes b SET lifted = false, earlier_rounds = '{{}}'
WHERE b.lifted AND NOT EXISTS (
    SELECT FROM push_deliveries d WHERE d.brake_round = ANY(b.earlier_rounds) AND {WAITS})
"""


@dataclass(slots=True)
class Wake:
    """Makes up to `limit` notifications due that wait for brakes that were lifted. Results in how many.

    It locks brakes, and so has a rank among them (`braking.Braked`).
    """

    rank: ClassVar[int] = -3

    limit: int

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Wake], hand: Hand) -> list[int]:
        rounds = [row[0] for row in cursor.execute(LIFTED).fetchall()]
        if not rounds:
            return [0] * len(changes)
        cursor.execute(LOCK)
        woken = [cursor.execute(WAKE, {"rounds": rounds, "limit": change.limit}).rowcount for change in changes]
        cursor.execute(ALL_WOKEN)
        return woken
