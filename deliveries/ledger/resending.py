"""Resending: a notification that has ended is opened again for some of its deliveries, once however often asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from psycopg import Cursor
from psycopg.rows import dict_row

from deliveries.ledger.audit import Audited, write_down
from deliveries.ledger.change import Hand, rows
from deliveries.models import ENDS, AuditEntry
from deliveries.models.samples import SOURCE

#: Seconds within which another resend of the same notification counts as the same one: a double click, two operators
#: at the same fault, a request that was repeated because its answer was lost.
SAME_PRESS = 10.0
#: Seconds that a resend has at least until it expires.
SHORTEST_TIME = 60.0

# Only what is in nobody's hands: a worker's writer holds many rows of its own at once, in an order of its own, and to
# wait for one of them while holding others is a deadlock (17 in 180 calls, before).
LOCK = """
SELECT notification_id FROM notifications
WHERE notification_id = ANY(%(ids)s) AND worker_id IS NULL AND status = ANY(%(ends)s) AND source <> %(sample)s
ORDER BY notification_id FOR UPDATE
"""

_INPUT = """json_to_recordset(%(rows)s::json) AS i(notification_id text, delivery_ids bigint[], seen int, force bool)"""
#: The deliveries that a resend is about. Where FCM accepted one before, only force sends it again.
_CHOSEN = """(i.delivery_ids IS NULL OR d.id = ANY(i.delivery_ids))
    AND (i.force OR d.status <> 'sent' AND d.forced_resends = 0)"""

# It gets as long as it had at first, and a minute at least: it may have come late. What the gateway was told of the
# earlier end is kept: it does not hear it twice. After a report without an answer, nobody knows what it has heard.
REOPEN = f"""
UPDATE notifications n
SET status = 'pending', error_code = '', error_message = '', attempts = 0, crashes = 0, fence = n.fence + 1,
    resolve_again = true, cancel_reason = '', next_attempt_at = now(), updated_at = now(),
    resolved_at = NULL, rendered_at = NULL, ended_at = NULL,
    expires_at = greatest(n.expires_at, now() + greatest(
        n.expires_at - coalesce(n.resent_at, n.created_at), make_interval(secs => {SHORTEST_TIME}))),
    resends = n.resends + 1, resent_at = now(),
    reported_status = CASE WHEN n.reported_at IS NOT NULL THEN n.status
                           WHEN n.report_refused_at IS NOT NULL THEN n.reported_status ELSE '' END,
    reported_at = NULL, report_refused_at = NULL, report_attempts = 0, report_error = ''
FROM {_INPUT}
WHERE n.notification_id = i.notification_id AND n.notification_id = ANY(%(ids)s)
  AND n.status = ANY(%(ends)s) AND n.worker_id IS NULL
  AND (i.seen IS NULL OR n.resends = i.seen)
  AND (n.resent_at IS NULL OR n.resent_at < now() - make_interval(secs => {SAME_PRESS}))
  AND (EXISTS (SELECT FROM push_deliveries d WHERE d.notification_id = n.notification_id AND {_CHOSEN})
       OR i.delivery_ids IS NULL
       AND NOT EXISTS (SELECT FROM push_deliveries d WHERE d.notification_id = n.notification_id))
RETURNING n.notification_id
"""

REOPEN_DELIVERIES = f"""
WITH chosen AS (
    SELECT d.id, d.notification_id, d.status = 'sent' OR d.forced_resends > 0 AS accepted, d.provider_message_id
    FROM {_INPUT} JOIN push_deliveries d ON d.notification_id = i.notification_id AND {_CHOSEN}
    WHERE i.notification_id = ANY(%(ids)s)
)
UPDATE push_deliveries d
SET status = 'pending', error_code = '', error_message = '', attempts = 0, exhausted = false, next_attempt_at = NULL,
    brake_round = NULL, forced_resends = d.forced_resends + chosen.accepted::int, updated_at = now()
FROM chosen WHERE d.id = chosen.id
RETURNING d.notification_id, d.id, d.unknown_count, chosen.accepted, chosen.provider_message_id
"""

CLOSE_LETTERS = """
UPDATE dead_letters SET state = 'redriven', note = %(reason)s, redrive_at = NULL
WHERE notification_id = ANY(%(ids)s) AND code = 'exhausted' AND state = 'open'
"""

LOOK = """
SELECT n.notification_id, n.source, n.status, n.resends, n.worker_id IS NOT NULL AS in_work,
       n.resent_at > now() - make_interval(secs => %(same)s) AS just_resent,
       array(SELECT id FROM push_deliveries d WHERE d.notification_id = n.notification_id) AS delivery_ids
FROM notifications n WHERE n.notification_id = ANY(%(ids)s)
"""


@dataclass(frozen=True, slots=True)
class Resent:
    """What came of a resend: `code` is `resent`, or why not; `unknown` says that an earlier send may have arrived."""

    code: str
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Resend:
    """Sends an ended notification again: to all its devices, or to those of `delivery_ids`. Results in Resent.

    `seen` is how often it was resent when the asker looked. What was accepted before is only sent again by `force`.
    """

    rank: ClassVar[int] = 30

    notification_id: str
    by: Audited
    delivery_ids: tuple[int, ...] | None = None
    seen: int | None = None
    force: bool = False

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Resend], hand: Hand) -> list[Resent]:
        """For changes by one asker, each of another notification."""
        parameters = rows(changes) | {"ids": [c.notification_id for c in changes], "ends": [end.value for end in ENDS]}
        parameters["sample"] = SOURCE
        cursor.execute(LOCK, parameters)
        parameters["ids"] = [row[0] for row in cursor.fetchall()]
        cursor.execute(REOPEN, parameters)
        reopened = [row[0] for row in cursor.fetchall()]
        deliveries = _reopen_deliveries(cursor, parameters | {"ids": reopened})
        if reopened:
            _keep_record(cursor, changes[0].by, reopened, deliveries)
        unknown = {d["notification_id"] for d in deliveries if d["unknown_count"] and not d["accepted"]}
        results = {id: Resent("resent", id in unknown) for id in reopened}
        results |= _refusals(cursor, [change for change in changes if change.notification_id not in results])
        return [results[change.notification_id] for change in changes]


def _reopen_deliveries(cursor: Cursor[Any], parameters: dict[str, Any]) -> list[dict[str, Any]]:
    with cursor.connection.cursor(row_factory=dict_row) as found:
        return found.execute(REOPEN_DELIVERIES, parameters).fetchall()


def _keep_record(cursor: Cursor[Any], by: Audited, ids: list[str], deliveries: list[dict[str, Any]]) -> None:
    """Who had it sent again; of what was accepted before, the provider's name is kept."""
    cursor.execute(CLOSE_LETTERS, {"ids": ids, "reason": by.reason or "resent"})
    details: dict[str, dict[str, Any]] = {id: {} for id in ids}
    for delivery in deliveries:
        detail = details[delivery["notification_id"]]
        detail.setdefault("deliveries", []).append(delivery["id"])
        if delivery["accepted"]:
            detail.setdefault("accepted_before", []).append(delivery["provider_message_id"])
    write_down(cursor, AuditEntry.Action.RESEND, by, details)


def _refusals(cursor: Cursor[Any], changes: Sequence[Resend]) -> dict[str, Resent]:
    """Why nothing was done. Looked at after the fact, in the same transaction, so the rows still stand as they did."""
    if not changes:
        return {}
    with cursor.connection.cursor(row_factory=dict_row) as look:
        found = look.execute(LOOK, {"ids": [c.notification_id for c in changes], "same": SAME_PRESS})
        stands = {row["notification_id"]: row for row in found}
    return {c.notification_id: Resent(_why_not(c, stands.get(c.notification_id))) for c in changes}


def _why_not(change: Resend, row: dict[str, Any] | None) -> str:
    if row is None:
        return "unknown_notification"
    if change.delivery_ids is not None and not set(change.delivery_ids) & set(row["delivery_ids"]):
        return "unknown_delivery"
    if row["source"] == SOURCE:
        return "sample"
    if row["status"] not in ENDS or row["in_work"]:
        return "under_way"
    if change.seen not in (None, row["resends"]):
        return "changed"
    return "just_resent" if row["just_resent"] else "already_sent"
