"""Cancelling: a wish in the row, which the pipeline meets before its next send, whoever has it in work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.audit import Audited, write_down
from deliveries.ledger.change import Hand
from deliveries.models import AuditEntry

# What waits is due at once, so that its end does not wait for the next attempt.
CANCEL = """
UPDATE notifications n
SET cancel_reason = %(why)s, updated_at = now(), next_attempt_at = CASE WHEN n.worker_id IS NULL THEN now() END
WHERE n.notification_id IN (
    SELECT notification_id FROM notifications WHERE notification_id = ANY(%(ids)s) ORDER BY notification_id FOR UPDATE)
  AND n.status IN ('pending', 'sending') AND n.cancel_reason = ''
RETURNING n.notification_id
"""

LOOK = "SELECT notification_id, status FROM notifications WHERE notification_id = ANY(%(ids)s)"


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ends a notification before its next send. Results in `cancelling`, `ended` or `unknown_notification`."""

    rank: ClassVar[int] = 31

    notification_id: str
    by: Audited

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Cancel], hand: Hand) -> list[str]:
        """For changes by one asker."""
        by, ids = changes[0].by, [change.notification_id for change in changes]
        why = f"Cancelled by {by.actor}" + (f": {by.reason}" if by.reason else ".")
        cursor.execute(CANCEL, {"ids": ids, "why": why})
        write_down(cursor, AuditEntry.Action.CANCEL, by, {row[0]: {} for row in cursor.fetchall()})
        cursor.execute(LOOK, {"ids": ids})
        codes = {id: "cancelling" if status in ("pending", "sending") else "ended" for id, status in cursor}
        return [codes.get(id, "unknown_notification") for id in ids]
