"""Settling: what becomes of a notification at the end of a round, and what of its report to the gateway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.change import Hand, rows, token
from deliveries.models import Status

#: Somebody cancelled it while its last attempt failed: it is no dead letter, which a redrive would send.
LATE = "i.error_code = 'exhausted' AND n.cancel_reason <> ''"

REASON = "CASE WHEN n.status = 'cancelled' THEN n.cancel_reason ELSE '' END"

# Whoever waits is put down (worker_id NULL); a wait never reaches beyond the expiry, so that expiry is noticed in time,
# and is none at all where somebody has cancelled it meanwhile.
# A re-run after a lost answer finds what it has itself written, still at its own fence, and results in the same.
SETTLE = f"""
WITH input AS (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS i(
        notification_id text, fence int, status text, error_code text, error_message text, attempts int, wait float8)
), settled AS (
UPDATE notifications n
SET status = CASE WHEN {LATE} THEN 'cancelled' ELSE i.status END,
    error_code = CASE WHEN {LATE} THEN 'cancelled' ELSE i.error_code END,
    error_message = CASE WHEN {LATE} THEN n.cancel_reason ELSE i.error_message END, attempts = i.attempts,
    crashes = 0, updated_at = now(), ended_at = CASE WHEN i.wait IS NULL THEN now() END,
    next_attempt_at = CASE WHEN i.wait IS NOT NULL
                           THEN CASE WHEN n.cancel_reason = ''
                                     THEN least(now() + make_interval(secs => i.wait), n.expires_at) ELSE now() END
                      END,
    worker_id = CASE WHEN i.wait IS NULL THEN n.worker_id END
FROM input i
WHERE n.notification_id = i.notification_id AND n.fence = i.fence AND n.worker_id IS NOT DISTINCT FROM %(worker)s
  AND n.status IN ('pending', 'sending')
RETURNING n.notification_id, {REASON}
)
SELECT * FROM settled
UNION
SELECT n.notification_id, {REASON} FROM notifications n JOIN input i USING (notification_id, fence)
WHERE n.status = CASE WHEN {LATE} THEN 'cancelled' ELSE i.status END
  AND (n.worker_id = %(worker)s OR i.wait IS NOT NULL AND n.worker_id IS NULL)
"""


@dataclass(slots=True)
class Settle:
    """Ends a notification (`wait` None: it stays with its worker until reported) or puts it down for `wait` seconds.

    Results in "", or in the reason of a cancel that ended it instead, or in None where it is no longer this worker's.
    """

    rank: ClassVar[int] = 5

    notification_id: str
    fence: int
    status: Status
    attempts: int
    error_code: str = ""
    error_message: str = ""
    wait: float | None = None

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Settle], hand: Hand) -> list[str | None]:
        cursor.execute(SETTLE, rows(changes) | hand.parameters())
        settled: dict[str, str] = dict(cursor.fetchall())
        return [settled.get(change.notification_id) for change in changes]


REPORT = """
UPDATE notifications n
SET reported_at = CASE WHEN i.wait IS NULL AND NOT i.refused THEN now() END,
    report_refused_at = CASE WHEN i.refused THEN now() END,
    report_attempts = n.report_attempts + 1, report_error = i.error, crashes = 0,
    updated_at = now(), next_attempt_at = now() + make_interval(secs => i.wait), worker_id = NULL
FROM json_to_recordset(%(rows)s::json) AS i(notification_id text, fence int, error text, refused bool, wait float8)
WHERE n.notification_id = i.notification_id AND n.fence = i.fence AND n.worker_id IS NOT DISTINCT FROM %(worker)s
"""


@dataclass(slots=True)
class Reported:
    """What the gateway said to a report: accepted it, refused it for good, or is owed it again in `wait` seconds."""

    rank: ClassVar[int] = 6

    notification_id: str
    fence: int
    error: str = ""
    refused: bool = False
    wait: float | None = None

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Reported], hand: Hand) -> list[None]:
        cursor.execute(REPORT, rows(changes) | hand.parameters())
        return [None] * len(changes)


ATTEMPT = """
INSERT INTO push_attempts (
    notification_id, delivery_id, stage, outcome, error_code, error_message, http_status, retry_after, duration_ms,
    token)
SELECT * FROM json_to_recordset(%(rows)s::json) AS i(
    notification_id text, delivery_id bigint, stage text, outcome text, error_code text, error_message text,
    http_status int, retry_after float8, duration_ms float8, token bigint)
ON CONFLICT (token) DO NOTHING
"""


@dataclass(slots=True)
class Attempted:
    """One line of a notification's history: an attempt that did not succeed at once. Results in None."""

    rank: ClassVar[int] = 4

    notification_id: str
    stage: str
    outcome: str
    error_code: str
    error_message: str
    delivery_id: int | None = None
    http_status: int | None = None
    retry_after: float | None = None
    duration_ms: float | None = None
    token: int = field(default_factory=token)

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Attempted], hand: Hand) -> list[None]:
        cursor.execute(ATTEMPT, rows(changes))
        return [None] * len(changes)
