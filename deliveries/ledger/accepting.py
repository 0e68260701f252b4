"""Accepting: a message becomes a row, once, or a dead letter that can be found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson
from psycopg import Cursor

from deliveries.contract import PushRequest
from deliveries.fields import MAX_TTL
from deliveries.ledger.change import Hand, rows, token

#: Bytes of a dead letter's body that are kept.
KEPT_BODY_BYTES = 64 * 1024

# The rows are inserted in the order of their ids, so that two workers with the same ids wait for each other and never
# deadlock. A re-run after a lost answer inserts nothing: it finds its rows by their token.
ACCEPT = f"""
WITH input AS (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS t(
        token bigint, notification_id text, user_id text, template_id text, correlation_id text, source text,
        request jsonb, high_priority bool, at_most_once bool, ttl float8, expires_at timestamptz)
), inserted AS (
    INSERT INTO notifications (
        accept_token, notification_id, user_id, template_id, correlation_id, source, request, high_priority,
        at_most_once, expires_at, worker_id, fence, next_attempt_at)
    SELECT token, notification_id, user_id, template_id, correlation_id, source, request, high_priority,
           at_most_once,
           least(coalesce(expires_at, 'infinity'), now() + make_interval(secs => coalesce(ttl, {MAX_TTL}))),
           %(worker)s, CASE WHEN %(worker)s::uuid IS NULL THEN 0 ELSE 1 END,
           CASE WHEN %(worker)s::uuid IS NULL THEN now() END
    FROM input ORDER BY notification_id
    ON CONFLICT (notification_id) DO NOTHING
    RETURNING accept_token, fence, extract(epoch FROM expires_at - now())::float8
)
SELECT * FROM inserted
UNION ALL
SELECT n.accept_token, n.fence, extract(epoch FROM n.expires_at - now())::float8
FROM notifications n JOIN input i ON n.notification_id = i.notification_id AND n.accept_token = i.token
WHERE n.worker_id IS NOT DISTINCT FROM %(worker)s
"""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A new notification is in the ledger, in the hand's name; `expires_in` is in seconds, by the database's clock."""

    fence: int
    expires_in: float


@dataclass(slots=True)
class Accept:
    """Accepts one request. Results in Accepted, or in None where its notification id is already known.

    `ttl` is the time to live in seconds that applies unless the request says less.
    """

    rank: ClassVar[int] = -4

    request: PushRequest
    source: str
    high_priority: bool
    ttl: float
    token: int = field(default_factory=token)

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Accept], hand: Hand) -> list[Accepted | None]:
        cursor.execute(ACCEPT, rows([change._row() for change in changes]) | hand.parameters())
        accepted = {row[0]: Accepted(row[1], row[2]) for row in cursor.fetchall()}
        return [accepted.get(change.token) for change in changes]

    def _row(self) -> dict[str, Any]:
        request = self.request
        return {
            "token": self.token,
            "notification_id": request.notification_id,
            "user_id": request.user_id,
            "template_id": request.template_id,
            "correlation_id": request.correlation_id,
            "source": self.source,
            "request": orjson.Fragment(request.as_json()),
            "high_priority": self.high_priority,
            "at_most_once": request.guarantee == "at_most_once",
            "ttl": self._ttl(),
            "expires_at": request.expires_at,
        }

    def _ttl(self) -> float | None:
        """Seconds to live; None leaves it to the request's `expires_at` alone."""
        if self.request.ttl is not None:
            return float(self.request.ttl)
        return None if self.request.expires_at else self.ttl


@dataclass(slots=True)
class DeadLettered:
    """Keeps a message that cannot be processed. The same body again is counted, not kept twice. Results in None.

    With a `fence` it speaks of a notification whose attempts are used up, and holds only if that ended at this fence.
    """

    rank: ClassVar[int] = 10

    body: bytes
    code: str
    reasons: list[str]
    notification_id: str | None
    correlation_id: str = ""
    fence: int | None = None
    copy_owed: bool = False
    report_owed: bool = False

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[DeadLettered], hand: Hand) -> list[None]:
        ordered = sorted(changes, key=lambda change: change.body_hash)
        cursor.executemany(DEAD_LETTER, [change._row() for change in ordered])
        return [None] * len(changes)

    @property
    def body_hash(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    @property
    def is_whole(self) -> bool:
        """Whether the ledger keeps all of the body, so that the message itself may go."""
        return len(self.body) <= KEPT_BODY_BYTES

    def _row(self) -> dict[str, Any]:
        return {
            "body_hash": self.body_hash,
            "body": self.body[:KEPT_BODY_BYTES],
            "size": len(self.body),
            "code": self.code,
            "reasons": orjson.dumps(
                [reason.replace("\0", "\N{REPLACEMENT CHARACTER}") for reason in self.reasons]
            ).decode(),
            "notification_id": self.notification_id,
            "correlation_id": self.correlation_id,
            "fence": self.fence,
            "copy_owed": self.copy_owed,
            "report_owed": self.report_owed,
        }


# The gateway hears of an id from its notification if there is one already, else from its first dead letter only.
DEAD_LETTER = """
INSERT INTO dead_letters (
    body_hash, body, size, code, reasons, notification_id, correlation_id, copy_due_at, report_due_at)
SELECT
    %(body_hash)s, %(body)s, %(size)s, %(code)s, %(reasons)s::jsonb, %(notification_id)s::text, %(correlation_id)s,
    CASE WHEN %(copy_owed)s THEN now() END,
    CASE WHEN %(report_owed)s AND NOT EXISTS (
        SELECT FROM notifications WHERE notification_id = %(notification_id)s::text
        UNION ALL
        SELECT FROM dead_letters
        WHERE notification_id = %(notification_id)s::text AND coalesce(reported_at, report_due_at) IS NOT NULL
    ) THEN now() END
WHERE %(fence)s::int IS NULL OR EXISTS (
    SELECT FROM notifications
    WHERE notification_id = %(notification_id)s::text AND fence = %(fence)s AND status = 'failed')
ON CONFLICT (body_hash) DO UPDATE SET
    count = dead_letters.count + 1, last_seen_at = now(), state = 'open', reasons = excluded.reasons,
    copy_due_at = CASE WHEN dead_letters.state = 'open' THEN dead_letters.copy_due_at
                       ELSE coalesce(dead_letters.copy_due_at, excluded.copy_due_at) END
"""
