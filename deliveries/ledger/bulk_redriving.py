"""Many dead letters at a rate: each waits in its row for its turn, and what cannot be redriven then says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.audit import Audited, write_down
from deliveries.ledger.change import Hand
from deliveries.ledger.mail import Owed
from deliveries.ledger.selecting import MOST_LETTERS, OF_CAUSE, REDRIVE_QUEUE
from deliveries.models import AuditEntry

#: What the audit log calls the queue. Its latest entry says of how many the queue was then.
QUEUE = "dead letters"

# Two that ask at once would take the same places.
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('redrive queue'))"

# Behind what is queued already; what is queued stays where it is.
QUEUE_UP = f"""
UPDATE dead_letters l
SET redrive_at = greatest(%(ends_at)s, now()) + make_interval(secs => place * 60.0 / %(rate)s),
    redrive_by = %(by)s, redrive_reason = %(reason)s, note = ''
FROM (
    SELECT id, row_number() OVER (ORDER BY id) AS place FROM (
        SELECT l.id FROM dead_letters l WHERE {OF_CAUSE} AND l.redrive_at IS NULL
        ORDER BY l.id LIMIT {MOST_LETTERS} FOR UPDATE) AS chosen
) AS numbered
WHERE l.id = numbered.id
"""

STOP = """
UPDATE dead_letters SET redrive_at = NULL
WHERE id IN (SELECT id FROM dead_letters WHERE redrive_at IS NOT NULL ORDER BY id FOR UPDATE)
"""

KEEP_OPEN = "UPDATE dead_letters SET redrive_at = NULL, note = %(why)s WHERE id = %(letter_id)s AND state = 'open'"


@dataclass(frozen=True, slots=True)
class QueueUp:
    """Lets the open letters of one cause be redriven, `rate` a minute. Results in how many: those of MOST_LETTERS that
    do not wait for it already."""

    rank: ClassVar[int] = 55

    code: str
    cause: str
    key: str
    rate: int
    by: Audited

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[QueueUp], hand: Hand) -> list[int]:
        return [change._queue_up(cursor) for change in changes]

    def _queue_up(self, cursor: Cursor[Any]) -> int:
        cursor.execute(ONE_AT_A_TIME)
        [(ahead, ends_at)] = cursor.execute(REDRIVE_QUEUE).fetchall()
        values = {"code": self.code, "key": self.key, "rate": self.rate, "ends_at": ends_at}
        queued = cursor.execute(QUEUE_UP, values | {"by": self.by.actor, "reason": self.by.reason}).rowcount
        if queued:
            detail = {"letters": queued, "ahead": ahead, "rate": self.rate, "code": self.code, "cause": self.cause}
            write_down(cursor, AuditEntry.Action.REDRIVE, self.by, {QUEUE: detail})
        return queued


@dataclass(frozen=True, slots=True)
class Stop:
    """Lets nothing more be redriven of what is queued; it stays open. Results in how many were left."""

    rank: ClassVar[int] = 56

    by: Audited

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Stop], hand: Hand) -> list[int]:
        return [change._stop(cursor) for change in changes]

    def _stop(self, cursor: Cursor[Any]) -> int:
        left = cursor.execute(STOP).rowcount
        if left:
            write_down(cursor, AuditEntry.Action.STOP, self.by, {QUEUE: {"left": left}})
        return left


class DueRedrives(Owed):
    """Takes letters whose turn has come; if who took them is killed, it comes again. Results in their rows."""

    rank = 57
    table = "dead_letters"
    due = "redrive_at"
    columns = ("id", "code", "body", "size", "notification_id", "correlation_id", "redrive_by", "redrive_reason")


@dataclass(frozen=True, slots=True)
class KeepOpen:
    """A letter could not be redriven: it stays open, with a note why. Results in None."""

    rank: ClassVar[int] = 58

    letter_id: int
    why: str

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[KeepOpen], hand: Hand) -> list[None]:
        in_order = sorted(changes, key=lambda change: change.letter_id)
        cursor.executemany(KEEP_OPEN, [{"letter_id": c.letter_id, "why": c.why} for c in in_order])
        return [None] * len(changes)
