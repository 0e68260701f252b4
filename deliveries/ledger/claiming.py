"""Claiming: rows that are due or owe a report come into a worker's hands, each into one worker's only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from psycopg import Cursor
from psycopg.rows import dict_row
from pydantic import ValidationError

from deliveries.contract import PushRequest
from deliveries.faults import faults
from deliveries.ledger.change import ALIVE, Hand
from deliveries.ledger.releasing import COUNT_UNKNOWN, taken
from deliveries.models import Status
from deliveries.work import Delivery, Work

_TAKE = """
UPDATE notifications n
SET worker_id = %(worker)s, fence = n.fence + 1, next_attempt_at = NULL, updated_at = now(),
    status = CASE WHEN n.status = 'sending' THEN 'pending' ELSE n.status END
FROM taken WHERE n.notification_id = taken.notification_id
RETURNING n.notification_id
"""

TAKE_DUE = f"""
WITH taken AS (
    SELECT notification_id FROM notifications
    WHERE worker_id IS NULL AND next_attempt_at <= now() AND high_priority = %(high)s AND crashes = 0
      AND (%(ids)s::text[] IS NULL OR notification_id = ANY(%(ids)s)) AND {ALIVE}
      AND (%(sends)s OR status NOT IN ('pending', 'sending') OR expires_at <= now() OR cancel_reason <> '')
    ORDER BY next_attempt_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
{_TAKE}"""

# `crashes > 0` names the partial index, for plans that do not know the parameters.
TAKE_SUSPECTS = f"""
WITH taken AS (
    SELECT notification_id FROM notifications
    WHERE worker_id IS NULL AND next_attempt_at <= now() AND {ALIVE}
      AND crashes > 0 AND crashes BETWEEN %(least)s AND %(most)s
    ORDER BY high_priority DESC, next_attempt_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
{_TAKE}"""

LOAD = """
SELECT notification_id, user_id, correlation_id, request, fence, high_priority, status, attempts, error_code,
       error_message, ended_at, report_attempts, reported_status, resolve_again, cancel_reason, crashes,
       extract(epoch FROM expires_at - now())::float8 AS expires_in
FROM notifications WHERE notification_id = ANY(%(ids)s)
"""

# What was known of a token when its row was made was judged then, and a resend is a person's wish to try nevertheless.
LOAD_DELIVERIES = """
SELECT d.id, d.notification_id, d.user_id, d.device_token, d.target, d.platform, d.brake_round, d.title,
       n.high_priority AS urgent, d.body, d.provider, d.status, d.attempts, d.error_code, d.error_message, d.exhausted,
       d.forced_resends > 0 AS sent_before,
       n.resent_at IS NULL OR d.updated_at >= n.resent_at AS is_current,
       greatest(d.created_at, n.resent_at) AS alive_at,
       coalesce(extract(epoch FROM d.next_attempt_at - now()), 0)::float8 AS due_in, d.data
FROM push_deliveries d JOIN notifications n USING (notification_id)
WHERE notification_id = ANY(%(ids)s) ORDER BY d.id
"""


def _load(cursor: Cursor[Any], ids: list[str]) -> list[Work]:
    """Counts what is unknown about the claimed notifications; returns them with their deliveries as they stand now."""
    if not ids:
        return []
    cursor.execute(COUNT_UNKNOWN, {"ids": ids})
    with cursor.connection.cursor(row_factory=dict_row) as rows:
        works = {row["notification_id"]: _work(row) for row in rows.execute(LOAD, {"ids": ids})}
        for row in rows.execute(LOAD_DELIVERIES, {"ids": ids}):
            works[row["notification_id"]].deliveries.append(Delivery(**row | {"status": Status(row["status"])}))
    return list(works.values())


def _request(row: dict[str, Any]) -> tuple[PushRequest, str]:
    """The request, or just its ids and what is wrong with it: nobody else is to wait because of one that is broken."""
    try:
        return PushRequest.model_validate(row["request"]), ""
    except ValidationError as error:
        ids = {name: row[name] for name in ("notification_id", "user_id", "correlation_id")}
        said = row["request"].get("request_id") if isinstance(row["request"], dict) else None
        if isinstance(said, str):  # by which the gateway may know it
            ids["request_id"] = said
        wrong = (f"{field} {fault}" if field else fault for field, fault in faults(error))
        return PushRequest.model_construct(**ids), f"{'; '.join(wrong)}."


def _work(row: dict[str, Any]) -> Work:
    request, unreadable = _request(row)
    return Work(
        request=request,
        unreadable=unreadable,
        fence=row["fence"],
        high_priority=row["high_priority"],
        expires_at=time.monotonic() + row["expires_in"],
        status=Status(row["status"]),
        attempts=row["attempts"],
        error_code=row["error_code"],
        error_message=row["error_message"],
        ended_at=row["ended_at"],
        report_attempts=row["report_attempts"],
        reported_status=Status(row["reported_status"]) if row["reported_status"] else None,
        resolve_again=row["resolve_again"],
        cancel_reason=row["cancel_reason"],
        crashes=row["crashes"],
    )


@dataclass(slots=True)
class Claim:
    """Claims up to `limit` due notifications, high priority first; of `ids` only, if given. Results in their Work.

    Without `sends` only those of which nothing is to be sent any more: they are over, or owe a report. Not those with
    which a worker has stopped: they are claimed by ClaimSuspects.
    """

    rank: ClassVar[int] = 7

    limit: int
    ids: list[str] | None = None
    sends: bool = True

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Claim], hand: Hand) -> list[list[Work]]:
        return [change._claim(cursor, hand) for change in changes]

    def _claim(self, cursor: Cursor[Any], hand: Hand) -> list[Work]:
        ids: list[str] = []
        for high in (True, False):
            parameters = hand.parameters() | {
                "high": high,
                "ids": self.ids,
                "sends": self.sends,
                "limit": self.limit - len(ids),
            }
            ids += taken(cursor, TAKE_DUE, parameters)
        return _load(cursor, ids)


@dataclass(slots=True)
class ClaimSuspects:
    """Claims up to `limit` due notifications whose worker stopped while it had them in work: once, or `again`.

    High priority first. Results in their Work.
    """

    rank: ClassVar[int] = 17

    limit: int
    again: bool = False

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[ClaimSuspects], hand: Hand) -> list[list[Work]]:
        return [change._claim(cursor, hand) for change in changes]

    def _claim(self, cursor: Cursor[Any], hand: Hand) -> list[Work]:
        crashes = {"least": 2, "most": 2**15 - 1} if self.again else {"least": 1, "most": 1}
        return _load(cursor, taken(cursor, TAKE_SUSPECTS, hand.parameters() | crashes | {"limit": self.limit}))
