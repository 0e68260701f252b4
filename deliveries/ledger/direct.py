"""Writing to the ledger without a worker, for API, console and commands: in Django's own connection."""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction

from deliveries.contract import PushRequest
from deliveries.ledger.accepting import Accept, Accepted
from deliveries.ledger.change import Hand

#: What it writes is in nobody's work, and so due at once for any worker.
NOBODY = Hand(worker_id=None, lease=0)


def accept(request: PushRequest, high_priority: bool, ttl: float) -> Accepted | None:
    """Commits one request that came by the API. Returns None where its notification id is known.

    `ttl` is the time to live in seconds that applies unless the request says less. Raises
    django.db.OperationalError or InterfaceError when the database is away: nothing is accepted
    then, unless only the answer to the commit was lost.
    """
    change = Accept(request, "api", high_priority, ttl)
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        wrapped: Any = cursor  # it passes everything on to psycopg's, and raises Django's errors
        [accepted] = Accept.apply(wrapped, [change], NOBODY)
    return accepted
