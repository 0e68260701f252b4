"""Pruning: what ended long ago goes, in small transactions that nobody who works has to wait for.

A row that somebody holds is passed over, and comes with another run. A worker passes over what is being pruned.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

#: Done with: nobody has it in work, nobody is owed word of it, and no open dead letter may bring it back.
_DONE = """
n.created_at < %(before)s AND n.ended_at < %(before)s AND n.status NOT IN ('pending', 'sending')
AND n.worker_id IS NULL AND n.next_attempt_at IS NULL
AND (n.reported_at IS NOT NULL OR n.report_refused_at IS NOT NULL)
AND NOT EXISTS (SELECT FROM dead_letters l WHERE l.notification_id = n.notification_id AND l.state = 'open')
"""

#: An exhausted notification keeps its dead letter for as long as it is there itself.
_CLOSED = """
l.state <> 'open' AND l.last_seen_at < %(before)s AND l.copy_due_at IS NULL AND l.report_due_at IS NULL
AND NOT EXISTS (
    SELECT FROM notifications n
    WHERE n.notification_id = l.notification_id AND l.code = 'exhausted' AND n.error_code = 'exhausted')
"""

# Oldest first, along the index on created_at; what had to stay is not looked at again in the next batch.
PRUNE_NOTIFICATIONS = f"""
WITH old AS MATERIALIZED (
    SELECT n.notification_id, n.created_at FROM notifications n
    WHERE (n.created_at, n.notification_id) > (%(created_at)s::timestamptz, %(id)s) AND {_DONE}
    ORDER BY n.created_at, n.notification_id LIMIT %(batch)s FOR UPDATE OF n SKIP LOCKED
), attempts AS (
    DELETE FROM push_attempts a USING old WHERE a.notification_id = old.notification_id RETURNING 1
), deliveries AS (
    DELETE FROM push_deliveries d USING old WHERE d.notification_id = old.notification_id RETURNING 1
), gone AS (
    DELETE FROM notifications n USING old WHERE n.notification_id = old.notification_id RETURNING 1
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM deliveries), (SELECT count(*) FROM attempts),
       last.created_at, last.notification_id
FROM (SELECT * FROM old ORDER BY created_at DESC, notification_id DESC LIMIT 1) last
"""

PRUNE_DEAD_LETTERS = f"""
WITH old AS (
    SELECT l.id FROM dead_letters l WHERE {_CLOSED} ORDER BY l.id LIMIT %(batch)s FOR UPDATE OF l SKIP LOCKED
)
DELETE FROM dead_letters l USING old WHERE l.id = old.id
"""

#: Its memory is over, nobody is owed word of it, and it waits for nobody's decision.
_OVER = """
t.died_at < %(before)s AND coalesce(t.remembered_until < now(), true) AND t.report_due_at IS NULL AND t.held_at IS NULL
"""

PRUNE_DEAD_TOKENS = f"""
DELETE FROM dead_tokens WHERE id IN (
    SELECT t.id FROM dead_tokens t WHERE {_OVER} ORDER BY t.token_hash LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
"""

PRUNE_AUDIT_LOG = """
DELETE FROM audit_log WHERE id IN (
    SELECT id FROM audit_log WHERE at < %(before)s ORDER BY at LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
"""

COUNT_NOTIFICATIONS = f"""
WITH old AS MATERIALIZED (SELECT n.notification_id FROM notifications n WHERE {_DONE})
SELECT (SELECT count(*) FROM old),
       (SELECT count(*) FROM push_deliveries JOIN old USING (notification_id)),
       (SELECT count(*) FROM push_attempts JOIN old USING (notification_id))
"""

COUNT_DEAD_LETTERS = f"SELECT count(*) FROM dead_letters l WHERE {_CLOSED}"

COUNT_DEAD_TOKENS = f"SELECT count(*) FROM dead_tokens t WHERE {_OVER}"

COUNT_AUDIT_LOG = "SELECT count(*) FROM audit_log WHERE at < %(before)s"


@dataclass(slots=True)
class Pruned:
    """How many rows of each table go, or went."""

    notifications: int = 0
    deliveries: int = 0
    attempts: int = 0
    dead_letters: int = 0
    dead_tokens: int = 0
    audit_entries: int = 0


class Pruning:
    """What ended before a time, `batch` rows of a kind at a time; `pruned` counts what went.

    Every method raises django.db.OperationalError or InterfaceError; what is counted by then has gone.
    """

    def __init__(self, before: datetime, batch: int) -> None:
        self.pruned = Pruned()
        self._parameters: dict[str, Any] = {"before": before, "batch": batch, "created_at": "-infinity", "id": ""}

    def prune_notifications(self) -> int:
        """One batch of notifications, with their deliveries and attempts; returns how many, 0 at the end."""
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute(PRUNE_NOTIFICATIONS, self._parameters)
            row = cursor.fetchone()
        if row is None:
            return 0
        notifications, deliveries, attempts, created_at, id = row
        self._parameters |= {"created_at": created_at, "id": id}
        self.pruned.notifications += notifications
        self.pruned.deliveries += deliveries
        self.pruned.attempts += attempts
        return int(notifications)

    def prune_dead_letters(self) -> int:
        """One batch of closed dead letters; returns how many, 0 at the end."""
        pruned = self._prune(PRUNE_DEAD_LETTERS)
        self.pruned.dead_letters += pruned
        return pruned

    def prune_dead_tokens(self) -> int:
        """One batch of dead tokens that nobody needs any more; returns how many, 0 at the end."""
        pruned = self._prune(PRUNE_DEAD_TOKENS)
        self.pruned.dead_tokens += pruned
        return pruned

    def prune_audit_log(self) -> int:
        """One batch of entries; returns how many, 0 at the end."""
        pruned = self._prune(PRUNE_AUDIT_LOG)
        self.pruned.audit_entries += pruned
        return pruned

    def forecast(self, *, audit_log: bool = False) -> Pruned:
        """What would go now."""
        kinds = [COUNT_NOTIFICATIONS, COUNT_DEAD_LETTERS, COUNT_DEAD_TOKENS, *[COUNT_AUDIT_LOG] * audit_log]
        return Pruned(*(count for kind in kinds for count in self._count(kind)))

    def _prune(self, statement: str) -> int:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute(statement, self._parameters)
            return int(cursor.rowcount)

    def _count(self, statement: str) -> tuple[int, ...]:
        with connection.cursor() as cursor:
            cursor.execute(statement, self._parameters)
            return cursor.fetchone() or ()
