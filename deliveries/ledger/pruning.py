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

COUNT_NOTIFICATIONS = f"""
WITH old AS MATERIALIZED (SELECT n.notification_id FROM notifications n WHERE {_DONE})
SELECT (SELECT count(*) FROM old),
       (SELECT count(*) FROM push_deliveries JOIN old USING (notification_id)),
       (SELECT count(*) FROM push_attempts JOIN old USING (notification_id))
"""

COUNT_DEAD_LETTERS = f"SELECT count(*) FROM dead_letters l WHERE {_CLOSED}"


@dataclass(slots=True)
class Pruned:
    """How many rows of each table go, or went."""

    notifications: int = 0
    deliveries: int = 0
    attempts: int = 0
    dead_letters: int = 0


class Pruning:
    """What ended before a time, `batch` notifications or dead letters at a time; `pruned` counts what went.

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
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute(PRUNE_DEAD_LETTERS, self._parameters)
            self.pruned.dead_letters += cursor.rowcount
            return int(cursor.rowcount)

    def forecast(self) -> Pruned:
        """What would go now."""
        with connection.cursor() as cursor:
            cursor.execute(COUNT_NOTIFICATIONS, self._parameters)
            counts: Any = cursor.fetchone()
            cursor.execute(COUNT_DEAD_LETTERS, self._parameters)
            letters: Any = cursor.fetchone()
        return Pruned(*counts, *letters)
