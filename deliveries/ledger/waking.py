"""Waking: what waits for a brake that was lifted is due at once, and asks for its place anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.change import Hand

# What was refused itself has the brake's code and no place yet; what was held has a place, of whatever pause this was
# before it grew: of none, at any rate, that is another brake's now.
HELD = """
d.status = 'pending' AND d.next_attempt_at > now() AND d.provider = b.provider
AND (b.scope IN ('project', 'process') OR encode(sha256(convert_to(d.device_token, 'UTF8')), 'hex') = b.key)
AND CASE WHEN d.brake_round IS NULL THEN d.error_code = b.code
         ELSE NOT EXISTS (SELECT FROM brakes other WHERE other.round = d.brake_round AND other.key <> b.key) END
"""

# Notifications before deliveries, as all others lock them, and of both what nobody has locked: it waits for nobody.
WAKE = f"""
WITH brake AS (SELECT * FROM brakes WHERE key = %(key)s),
waiting AS (
    SELECT n.notification_id FROM notifications n
    WHERE n.worker_id IS NULL AND n.status = 'pending' AND n.next_attempt_at > now()
      AND EXISTS (SELECT FROM push_deliveries d, brake b WHERE d.notification_id = n.notification_id AND {HELD})
    ORDER BY n.next_attempt_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), held AS (
    SELECT d.id FROM push_deliveries d, brake b
    WHERE d.notification_id IN (SELECT notification_id FROM waiting) AND {HELD} FOR UPDATE OF d SKIP LOCKED
), woken AS (
    UPDATE push_deliveries d SET next_attempt_at = now(), brake_round = NULL, updated_at = now()
    FROM held WHERE d.id = held.id
)
UPDATE notifications n SET next_attempt_at = now(), updated_at = now()
FROM waiting WHERE n.notification_id = waiting.notification_id
"""


@dataclass(slots=True)
class Wake:
    """Makes up to `limit` notifications due that wait for the brake of this key and for nothing else.

    Results in how many.
    """

    rank: ClassVar[int] = 23

    key: str
    limit: int

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Wake], hand: Hand) -> list[int]:
        return [cursor.execute(WAKE, {"key": c.key, "limit": c.limit}).rowcount for c in changes]
