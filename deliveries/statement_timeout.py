"""No request waits for the database for ever: whoever holds a lock would soon hold every thread of the web process."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

#: Longer than any page or answer should take. Commands, which may read everything, are not bounded.
SECONDS = 15


def bound_statements() -> None:
    """From now on PostgreSQL cancels what takes longer, in all of this process's new connections of Django's.

    It is a statement, not one of libpq's `options`: poolers refuse those. Who asked sees an OperationalError.
    """
    connection_created.connect(_bound)


def _bound(connection: BaseDatabaseWrapper, **_: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [f"{SECONDS}s"])
