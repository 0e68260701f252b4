"""Redriving: an open dead letter goes back into the ledger as a notification, or is closed for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.accepting import Accept
from deliveries.ledger.audit import Audited, write_down
from deliveries.ledger.change import NOBODY, Hand
from deliveries.models import AuditEntry, DeadLetter

# A report that it could not be accepted is owed no longer: the gateway hears how the notification ends.
CLOSE = """
UPDATE dead_letters SET state = %(state)s::text, note = %(reason)s, redrive_at = NULL,
    report_due_at = CASE WHEN %(state)s::text = 'discarded' THEN report_due_at END
WHERE id IN (SELECT id FROM dead_letters WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE) AND state = 'open'
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Redrive:
    """Accepts what a dead letter says, now that it can be read. Results in `redriven`, `known` or `not_open`."""

    rank: ClassVar[int] = 32

    letter_id: int
    accept: Accept
    by: Audited

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Redrive], hand: Hand) -> list[str]:
        """For changes by one asker."""
        by = changes[0].by
        closed = _close(cursor, [c.letter_id for c in changes], DeadLetter.State.REDRIVEN, by)
        open_ = [change for change in changes if change.letter_id in closed]
        # Nobody's, also where a worker asks: it only reads again, and whoever has room carries it.
        accepted = Accept.apply(cursor, [change.accept for change in open_], NOBODY) if open_ else []
        codes = {c.letter_id: "known" if a is None else "redriven" for c, a in zip(open_, accepted, strict=True)}
        details = {str(c.letter_id): {"notification_id": c.accept.request.notification_id} for c in open_}
        write_down(cursor, AuditEntry.Action.REDRIVE, by, details)
        return [codes.get(change.letter_id, "not_open") for change in changes]


@dataclass(frozen=True, slots=True)
class Discard:
    """Closes a dead letter for good. Results in `discarded` or `not_open`."""

    rank: ClassVar[int] = 33

    letter_id: int
    by: Audited

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Discard], hand: Hand) -> list[str]:
        """For changes by one asker."""
        by = changes[0].by
        closed = _close(cursor, [c.letter_id for c in changes], DeadLetter.State.DISCARDED, by)
        write_down(cursor, AuditEntry.Action.DISCARD, by, {str(id): {} for id in closed})
        return ["discarded" if change.letter_id in closed else "not_open" for change in changes]


def _close(cursor: Cursor[Any], ids: list[int], state: DeadLetter.State, by: Audited) -> set[int]:
    cursor.execute(CLOSE, {"ids": ids, "state": state.value, "reason": by.reason})
    return {row[0] for row in cursor.fetchall()}
