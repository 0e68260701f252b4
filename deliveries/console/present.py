"""The present: what waits, what lies in the dead letters, who works; each a look at an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from deliveries import health
from deliveries.console.fleet import heard_lately, living
from deliveries.console.troubles import LEDGER, LIMITS, Ledger
from deliveries.health import OPEN_DEAD_LETTERS
from deliveries.models import Worker

#: What waits is counted no further: nobody reads the rest, and a backlog may be millions of rows.
MOST = 50_000
#: So many of each kind are looked at for the oldest.
LOOKED_AT = 1_000

_WAITING = "FROM notifications WHERE worker_id IS NULL AND next_attempt_at IS NOT NULL"
_SINCE = "ended_at, coalesce(resent_at, created_at) AS since"

# In the order of the indexes, so that no plan reads the table instead, whatever its statistics say.
PRESENT = f"""
SELECT (SELECT count(*) FROM (SELECT {_WAITING} ORDER BY high_priority, next_attempt_at LIMIT {MOST}) AS waiting),
       ({OPEN_DEAD_LETTERS}),
       (SELECT extract(epoch FROM now() - min(since))::float8 FROM (
            (SELECT {_SINCE} {_WAITING} AND high_priority ORDER BY next_attempt_at LIMIT {LOOKED_AT})
            UNION ALL
            (SELECT {_SINCE} {_WAITING} AND NOT high_priority ORDER BY next_attempt_at LIMIT {LOOKED_AT})
            UNION ALL
            (SELECT {_SINCE} FROM notifications WHERE worker_id IS NOT NULL ORDER BY worker_id LIMIT {LOOKED_AT})
        ) AS undelivered WHERE ended_at IS NULL),
       (SELECT created_at FROM notifications ORDER BY created_at DESC LIMIT 1) IS NOT NULL,
       {", ".join(f"({question})" for question in LEDGER)}
"""  # noqa: S608 - of constants


@dataclass(frozen=True, slots=True)
class Present:
    """How it stands. `is_used` is False as long as the ledger holds no notification; `oldest` is in seconds.

    `rabbitmq` is a status of `health.rabbitmq`, and `queued` what waits there: None without a queue, or an answer.
    """

    waiting: int
    dead_letters: int
    oldest: float | None
    is_used: bool
    rabbitmq: str
    queued: int | None
    workers: Sequence[Worker]
    ledger: Ledger

    @property
    def alive(self) -> list[Worker]:
        return living(self.workers)


def look() -> Present:
    """Asks the ledger with two statements, and RabbitMQ at most every five seconds."""
    with connection.cursor() as cursor:
        cursor.execute(PRESENT, LIMITS)
        waiting, dead_letters, oldest, is_used, *ledger = cursor.fetchone()
    told = health.rabbitmq()
    queued = told["queue"]["messages"] if told["status"] == "up" else None
    return Present(waiting, dead_letters, oldest, is_used, told["status"], queued, heard_lately(), Ledger(*ledger))
