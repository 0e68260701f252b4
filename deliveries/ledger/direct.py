"""Writing to the ledger without a worker, for API, console and commands: in Django's own connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction

from deliveries.contract import PushRequest
from deliveries.ledger.accepting import Accept, Accepted
from deliveries.ledger.change import Change, Hand

#: What it writes is in nobody's work, and so due at once for any worker.
NOBODY = Hand(worker_id=None, lease=0)


def accept(request: PushRequest, high_priority: bool, ttl: float) -> Accepted | None:
    """Commits one request that came by the API. Returns None where its notification id is known.

    `ttl` is the time to live in seconds that applies unless the request says less. Raises
    django.db.OperationalError or InterfaceError when the database is away: nothing is accepted
    then, unless only the answer to the commit was lost.
    """
    accepted: Accepted | None
    [accepted] = write([Accept(request, "api", high_priority, ttl)])
    return accepted


def write(changes: Sequence[Change]) -> list[Any]:
    """Commits changes of one kind together and returns their results. Raises django.db.Error."""
    with transaction.atomic(durable=True), connection.cursor() as cursor, connection.wrap_database_errors:
        wrapped: Any = cursor  # it passes everything on to psycopg's
        return type(changes[0]).apply(wrapped, changes, NOBODY) if changes else []
