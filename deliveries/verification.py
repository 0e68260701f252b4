"""Verifying: what the ledger's rows alone can prove of the promises, each as a question that finds who breaks it.

The questions run in one snapshot that only reads. Those about what is owed and in work are answered by partial indexes;
those that look at everything that ended read whole tables, unless `since` says how far back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from deliveries.ledger.invariants import CHECKS, POSSIBLE_REPEATS, Check

EXAMPLES = 10

#: Seconds after its lease that a dead worker's rows may wait for another worker's round.
GRACE = 10.0

#: Seconds that a row may be overdue while workers are alive before it is worth a warning.
PATIENCE = 300.0

#: What needs more than rows, and what would prove it.
NOT_PROVABLE = {
    "I1": "that every confirmed message became a row: that takes the producers' own count",
    "I2": "how often FCM really accepted a push: that takes FCM's side; the rows give the bound above",
    "I6": "that workers have as many threads and connections as configured",
    "I7": "that no token and no secret is in a log line",
    "I8": "that a backlog drains once the fault is gone: that takes a second look, later",
}

ANSWER = """
WITH found AS MATERIALIZED ({query})
SELECT (SELECT count(*) FROM found), ARRAY(SELECT id FROM found ORDER BY id LIMIT {examples})
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: how many break the promise, and the ids of some."""

    check: Check
    count: int
    examples: list[str]

    @property
    def is_breach(self) -> bool:
        return bool(self.count) and self.check.must_hold


@dataclass(frozen=True, slots=True)
class Repeats:
    """I2's bound: at most so many pushes may have reached a device more than once."""

    unknown_outcomes: int
    forced_resends: int

    @property
    def at_most(self) -> int:
        return self.unknown_outcomes + self.forced_resends


class TooSlow(Exception):
    """A question took longer than it was given."""


def verify(
    since: datetime | None, timeout: float, about_to: Callable[[Check], None] = lambda _: None
) -> tuple[list[Finding], Repeats]:
    """Asks everything of one snapshot; of notifications accepted after `since` only, if given.

    `timeout` is in seconds for each question; raises TooSlow, or django.db.OperationalError. `about_to` hears of each
    check before it is made.
    """
    parameters = {"since": since, "lease": settings.PUSH.delivery_lease, "grace": GRACE, "patience": PATIENCE}
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{timeout * 1000:.0f}ms"])
        findings = []
        for check in CHECKS:
            about_to(check)
            query = ANSWER.format(query=check.query, examples=EXAMPLES)
            findings.append(Finding(check, *_ask(cursor, query, parameters)))
        return findings, Repeats(*_ask(cursor, POSSIBLE_REPEATS, parameters))


def _ask(cursor: Any, query: str, parameters: dict[str, Any]) -> tuple[Any, ...]:
    try:
        cursor.execute(query, parameters)
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TooSlow from error
        raise
    row: tuple[Any, ...] = cursor.fetchone()
    return row
