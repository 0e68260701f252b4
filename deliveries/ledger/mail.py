"""What is owed: found when due, held for two minutes by pushing its time on, and paid; here, for dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from psycopg import Cursor, sql
from psycopg.rows import dict_row

from deliveries.ledger.change import Hand

FEW = 20

TAKE_OWED = """
UPDATE {table} SET {due} = now() + interval '2 minutes'
WHERE id IN (SELECT id FROM {table} WHERE {due} <= now() ORDER BY {due} LIMIT {few} FOR UPDATE SKIP LOCKED)
RETURNING {columns}
"""


class Owed:
    """Takes a few rows of `table` whose time in the column `due` has come. Results in their `columns`."""

    rank: ClassVar[int]
    table: ClassVar[str]
    due: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Owed], hand: Hand) -> list[list[dict[str, Any]]]:
        statement = sql.SQL(TAKE_OWED).format(
            table=sql.Identifier(cls.table),
            due=sql.Identifier(cls.due),
            few=sql.Literal(FEW),
            columns=sql.SQL(", ").join(map(sql.Identifier, cls.columns)),
        )
        with cursor.connection.cursor(row_factory=dict_row) as rows:
            return [rows.execute(statement).fetchall() for _ in changes]


class OwedReports(Owed):
    """Takes dead letters of which the gateway is owed word. Results in their rows."""

    rank = 12
    table = "dead_letters"
    due = "report_due_at"
    columns = ("id", "notification_id", "correlation_id", "reasons", "report_attempts")


class OwedCopies(Owed):
    """Takes dead letters of which a copy is owed to the failed queue. Results in their rows."""

    rank = 13
    table = "dead_letters"
    due = "copy_due_at"
    columns = ("id", "notification_id", "code", "reasons", "body")


# A debt that was forgiven while it was being paid, because the dead letter was redriven, stays forgiven.
PAY_REPORT = """
UPDATE dead_letters
SET reported_at = CASE WHEN %(error)s = '' THEN now() END, report_error = %(error)s,
    report_attempts = report_attempts + 1,
    report_due_at = CASE WHEN report_due_at IS NOT NULL THEN now() + make_interval(secs => %(wait)s::float8) END
WHERE id = %(id)s
"""


@dataclass(slots=True)
class PaidReport:
    """The gateway's answer: accepted, refused for good (`error`), or owed again in `wait` seconds. Results in None."""

    rank: ClassVar[int] = 14
    statement: ClassVar[str] = PAY_REPORT

    id: int
    error: str = ""
    wait: float | None = None

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[PaidReport], hand: Hand) -> list[None]:
        cursor.executemany(cls.statement, [{"id": c.id, "error": c.error, "wait": c.wait} for c in _in_order(changes)])
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
        cursor.executemany(PAY_COPY, [{"id": c.id, "wait": c.wait} for c in _in_order(changes)])
        return [None] * len(changes)


OWE_COPY = "UPDATE dead_letters SET copy_due_at = coalesce(copy_due_at, now()) WHERE body_hash = %s"


@dataclass(slots=True)
class OweCopy:
    """RabbitMQ did not take the copy of a dead letter that is in the ledger: it is owed. Results in None."""

    rank: ClassVar[int] = 16

    body_hash: str

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[OweCopy], hand: Hand) -> list[None]:
        cursor.executemany(OWE_COPY, [(body_hash,) for body_hash in sorted(c.body_hash for c in changes)])
        return [None] * len(changes)


def _in_order(changes: Sequence[Any]) -> list[Any]:
    """By their ids, as who redrives locks them: two that wait for each other would be a deadlock."""
    return sorted(changes, key=lambda change: change.id)
