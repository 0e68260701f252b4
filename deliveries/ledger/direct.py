"""Writing to the ledger without a worker, for API, console and commands: in Django's own connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction

from deliveries.ledger.change import NOBODY, Change


def write(changes: Sequence[Change]) -> list[Any]:
    """Commits changes of one kind together and returns their results. Raises django.db.Error."""
    with transaction.atomic(durable=True), connection.cursor() as cursor, connection.wrap_database_errors:
        wrapped: Any = cursor  # it passes everything on to psycopg's
        return type(changes[0]).apply(wrapped, changes, NOBODY) if changes else []
