"""What is owed for dead letters: found when due, held for two minutes by pushing its time on, and paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from psycopg import Cursor, sql
from psycopg.rows import dict_row

from deliveries.ledger.change import Hand

FEW = 20

TAKE_OWED = """
UPDATE dead_letters SET {due} = now() + interval '2 minutes'
WHERE id IN (SELECT id FROM dead_letters WHERE {due} <= now() ORDER BY {due} LIMIT {few} FOR UPDATE SKIP LOCKED)
RETURNING id, notification_id, correlation_id, code, reasons, body, report_attempts
"""


def _take(cursor: Cursor[Any], due: str) -> list[dict[str, Any]]:
    statement = sql.SQL(TAKE_OWED).format(due=sql.Identifier(due), few=sql.Literal(FEW))
    with cursor.connection.cursor(row_factory=dict_row) as rows:
        return rows.execute(statement).fetchall()


@dataclass(slots=True)
class OwedReports:
    """Takes dead letters of which the gateway is owed word. Results in their rows."""

    rank: ClassVar[int] = 12

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[OwedReports], hand: Hand) -> list[list[dict[str, Any]]]:
        return [_take(cursor, "report_due_at") for _ in changes]


@dataclass(slots=True)
class OwedCopies:
    """Takes dead letters of which a copy is owed to the failed queue. Results in their rows."""

    rank: ClassVar[int] = 13

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[OwedCopies], hand: Hand) -> list[list[dict[str, Any]]]:
        return [_take(cursor, "copy_due_at") for _ in changes]


PAY_REPORT = """
UPDATE dead_letters
SET reported_at = CASE WHEN %(error)s = '' THEN now() END, report_error = %(error)s,
    report_attempts = report_attempts + 1, report_due_at = now() + make_interval(secs => %(wait)s::float8)
WHERE id = %(id)s
"""


@dataclass(slots=True)
class PaidReport:
    """The gateway's answer: accepted, refused for good (`error`), or owed again in `wait` seconds. Results in None."""

    rank: ClassVar[int] = 14

    id: int
    error: str = ""
    wait: float | None = None

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[PaidReport], hand: Hand) -> list[None]:
        cursor.executemany(PAY_REPORT, [{"id": c.id, "error": c.error, "wait": c.wait} for c in changes])
        return [None] * len(changes)


PAY_COPY = "UPDATE dead_letters SET copy_due_at = now() + make_interval(secs => %(wait)s::float8) WHERE id = %(id)s"


@dataclass(slots=True)
class PaidCopy:
    """A copy is on the failed queue, or is owed again in `wait` seconds. Results in None."""

    rank: ClassVar[int] = 15

    id: int
    wait: float | None = None

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[PaidCopy], hand: Hand) -> list[None]:
        cursor.executemany(PAY_COPY, [{"id": c.id, "wait": c.wait} for c in changes])
        return [None] * len(changes)
