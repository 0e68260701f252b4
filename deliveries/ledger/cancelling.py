"""Cancelling: a wish in the row, which the pipeline meets before its next send, whoever has it in work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.audit import Audited, write_down
from deliveries.ledger.change import Hand
from deliveries.models import ENDS, AuditEntry

# What waits is due at once, so that its end does not wait for the next attempt.
CANCEL = """
UPDATE notifications n
SET cancel_reason = %(why)s, updated_at = now(), next_attempt_at = CASE WHEN n.worker_id IS NULL THEN now() END
WHERE n.notification_id = %(id)s AND n.status IN ('pending', 'sending') AND n.cancel_reason = ''
RETURNING n.notification_id
"""

LOOK = "SELECT status FROM notifications WHERE notification_id = %(id)s"


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ends a notification before its next send. Results in `cancelling`, `ended` or `unknown_notification`.

    One to a transaction: a worker's writer holds many rows of its own at once, in an order of its own, and to wait for
    one of them while holding others is a deadlock.
    """

    rank: ClassVar[int] = 31

    notification_id: str
    by: Audited

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Cancel], hand: Hand) -> list[str]:
        return [change._cancel(cursor) for change in changes]

    def _cancel(self, cursor: Cursor[Any]) -> str:
        """The reason goes to the gateway, too; who it was stays in the audit log."""
        why = f"Cancelled: {self.by.reason}" if self.by.reason else "Cancelled by an operator."
        cursor.execute(CANCEL, {"id": self.notification_id, "why": why})
        write_down(cursor, AuditEntry.Action.CANCEL, self.by, {row[0]: {} for row in cursor.fetchall()})
        found = cursor.execute(LOOK, {"id": self.notification_id}).fetchone()
        if found is None:
            return "unknown_notification"
        return "ended" if found[0] in ENDS else "cancelling"
