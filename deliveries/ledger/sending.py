"""Sending: a delivery is claimed before it is sent, and its outcome lands on the very send that was claimed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.change import ALIVE, Hand, rows, token
from deliveries.ledger.holding import Hold, held_before, hold_back
from deliveries.models import Status
from deliveries.work import Delivery

# IS NOT DISTINCT FROM, here and in the other changes: with `=` PostgreSQL may find the rows by their worker, through
# the index entries of all that the worker had in work lately, instead of by their key (492 µs a notification, not 145).
CLAIM_NOTIFICATIONS = f"""
UPDATE notifications n
SET status = CASE WHEN n.cancel_reason = '' THEN 'sending' ELSE n.status END, updated_at = now(), resolve_again = false,
    resolved_at = coalesce(n.resolved_at, now() - make_interval(secs => i.resolved_ago)),
    rendered_at = coalesce(n.rendered_at, now() - make_interval(secs => i.rendered_ago))
FROM json_to_recordset(%(rows)s::json)
     AS i(notification_id text, fence int, resolved_ago float8, rendered_ago float8)
WHERE n.notification_id = i.notification_id AND n.fence = i.fence AND n.worker_id IS NOT DISTINCT FROM %(worker)s
  AND n.status IN ('pending', 'sending') AND {ALIVE}
RETURNING n.notification_id, n.cancel_reason
"""

# statement_timestamp() is what Django's Now() gives to created_at; now() is when the transaction began.
# A re-run after a lost answer meets its own rows: it knows them by their token, and they count as inserted. Those that
# were held back are not `sending` any more, and stay as they are (`held_before`).
INSERT_DELIVERIES = """
INSERT INTO push_deliveries (
    notification_id, user_id, device_token, target, platform, title, body, data, provider, send_token, status,
    sending_at)
SELECT notification_id, user_id, device_token, target, platform, title, body, data, provider, send_token, 'sending',
    statement_timestamp()
FROM json_to_recordset(%(rows)s::json) AS d(
    notification_id text, user_id text, device_token text, target text, platform text, title text, body text,
    data jsonb, provider text, send_token bigint)
ON CONFLICT (notification_id, device_token) DO UPDATE SET status = 'sending', next_attempt_at = NULL, updated_at = now()
    WHERE push_deliveries.send_token = excluded.send_token AND push_deliveries.status = 'sending'
RETURNING send_token, id
"""

CLAIM_DELIVERIES = """
UPDATE push_deliveries d
SET status = 'sending', send_token = i.send_token, sending_at = now(), next_attempt_at = NULL, updated_at = now(),
    title = i.title, body = i.body, data = i.data, provider = i.provider
FROM json_to_recordset(%(rows)s::json) AS i(
    id bigint, send_token bigint, title text, body text, data jsonb, provider text)
WHERE d.id = i.id AND (d.status = 'sending') = (d.send_token IS NOT DISTINCT FROM i.send_token)
  AND d.status IN ('pending', 'sending')
RETURNING d.send_token, d.id
"""

# Somebody cancelled it between a claim whose answer was lost and the re-run: what that had started was never sent.
TAKE_BACK = """
UPDATE push_deliveries d SET status = 'pending', updated_at = now()
FROM json_to_recordset(%(rows)s::json) AS i(notification_id text, send_token bigint)
WHERE d.notification_id = i.notification_id AND d.send_token = i.send_token AND d.status = 'sending'
"""


@dataclass(frozen=True, slots=True)
class Started:
    """The row ids of the sends that were claimed, by send token; or why somebody cancelled the notification.

    Neither where it is no longer this worker's, or where the worker's heartbeat is too old. Those with a hold must not
    begin now; of those in `once_dead` the device was called dead before.
    """

    ids: dict[int, int]
    cancel_reason: str = ""
    holds: dict[int, Hold] = field(default_factory=dict)
    once_dead: frozenset[int] = frozenset()


@dataclass(slots=True)
class StartSends:
    """Claims sends: of new deliveries (without an id yet, which they are given) or of pending ones. Results in Started.

    Every delivery gets a `send_token` of its own for this send.
    """

    rank: ClassVar[int] = 1

    notification_id: str
    fence: int
    deliveries: list[Delivery]
    resolved_ago: float = 0.0
    rendered_ago: float = 0.0

    def __post_init__(self) -> None:
        for delivery in self.deliveries:
            delivery.send_token = token()

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[StartSends], hand: Hand) -> list[Started]:
        cursor.execute(CLAIM_NOTIFICATIONS, rows([change._row() for change in changes]) | hand.parameters())
        ours: dict[str, str] = dict(cursor.fetchall())
        claimed = [d for change in changes if ours.get(change.notification_id) == "" for d in change.deliveries]
        ids = _start(cursor, INSERT_DELIVERIES, [d for d in claimed if d.id is None])
        ids |= _start(cursor, CLAIM_DELIVERIES, [d for d in claimed if d.id is not None])
        if cancelled := [d for change in changes if ours.get(change.notification_id) for d in change.deliveries]:
            cursor.execute(TAKE_BACK, rows(cancelled))
        holds, once_dead = hold_back(cursor, [d for d in claimed if d.send_token in ids], hand)
        if missing := [d for d in claimed if d.send_token not in ids]:
            again, held = held_before(cursor, missing)
            ids, holds = ids | again, holds | held
        return [Started(ids, ours.get(change.notification_id, ""), holds, once_dead) for change in changes]

    def _row(self) -> dict[str, Any]:
        return {
            "notification_id": self.notification_id,
            "fence": self.fence,
            "resolved_ago": self.resolved_ago,
            "rendered_ago": self.rendered_ago,
        }


def _start(cursor: Cursor[Any], statement: str, deliveries: list[Delivery]) -> dict[int, int]:
    """Runs one of the two statements above; returns the id of each started delivery by its send token."""
    if not deliveries:
        return {}
    deliveries.sort(key=lambda d: (d.notification_id, d.device_token))
    cursor.execute(statement, rows(deliveries))
    return dict(cursor.fetchall())


LAND = """
UPDATE push_deliveries d
SET status = i.status, error_code = i.error_code,
    error_message = i.error_message, attempts = d.attempts + i.burnt, unknown_count = d.unknown_count + i.unknown,
    exhausted = i.exhausted, sent_at = CASE WHEN i.status = 'sent' THEN now() ELSE d.sent_at END,
    provider_message_id = coalesce(nullif(i.provider_message_id, ''), d.provider_message_id), updated_at = now(),
    next_attempt_at = now() + make_interval(secs => i.wait)
FROM json_to_recordset(%(rows)s::json) AS i(
    id bigint, send_token bigint, status text, provider_message_id text, error_code text, error_message text, burnt int,
    unknown int, exhausted bool, wait float8)
WHERE d.id = i.id AND d.send_token = i.send_token AND d.status = 'sending'
"""


@dataclass(slots=True)
class Landed:
    """The outcome of one claimed send. A late one, of a send that was since claimed by somebody else, changes nothing.

    `burnt` and `unknown` are 0 or 1; `wait` is in seconds until the next attempt, None when there is none.
    """

    rank: ClassVar[int] = 2

    id: int
    send_token: int
    status: Status
    provider_message_id: str = ""
    error_code: str = ""
    error_message: str = ""
    burnt: int = 1
    unknown: int = 0
    exhausted: bool = False
    wait: float | None = field(default=None)

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Landed], hand: Hand) -> list[None]:
        cursor.execute(LAND, rows(changes))
        return [None] * len(changes)


ABANDON = """
UPDATE push_deliveries d
SET status = i.status, error_code = i.error_code, error_message = i.error_message, next_attempt_at = NULL,
    updated_at = now()
FROM json_to_recordset(%(rows)s::json)
     AS i(notification_id text, fence int, status text, error_code text, error_message text, ids bigint[])
JOIN notifications n ON n.notification_id = i.notification_id AND n.fence = i.fence
     AND n.worker_id IS NOT DISTINCT FROM %(worker)s
WHERE d.notification_id = i.notification_id AND d.status = 'pending' AND (i.ids IS NULL OR d.id = ANY(i.ids))
"""


@dataclass(slots=True)
class Abandon:
    """Ends the deliveries of a notification that are still pending, or those of `ids` only. Results in None."""

    rank: ClassVar[int] = 3

    notification_id: str
    fence: int
    status: Status
    error_code: str
    error_message: str
    ids: list[int] | None = None

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Abandon], hand: Hand) -> list[None]:
        cursor.execute(ABANDON, rows(changes) | hand.parameters())
        return [None] * len(changes)
