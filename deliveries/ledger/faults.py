"""What a database error means: this change is refused, or the database cannot be written to for now."""

from __future__ import annotations

import psycopg

#: Classes of SQLSTATE that say nothing against the change: lost connection, read-only server (a failover), rolled back
#: (a deadlock), out of resources, locked, shutting down, system error. https://www.postgresql.org/docs/current/errcodes-appendix.html
PASSING = frozenset({"08", "25", "40", "53", "55", "57", "58"})

#: Of these, what speaks of somebody's lock or of one long statement, and not of the server: the classes of a deadlock
#: and of a lock timeout, and a statement timeout.
HELD_UP = ("40", "55", "57014")


def is_passing(error: BaseException) -> bool:
    """True when the same change may be written on a new connection; False when it is refused.

    psycopg's own classes do not tell: a row too long for an index is an OperationalError as well.
    """
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate[:2] in PASSING


def is_held_up(error: BaseException) -> bool:
    """True when somebody's lock, or a statement without an end, is in the way of this change: others may be written."""
    return isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(HELD_UP)


def traceable(error: BaseException) -> BaseException | None:
    """The error for `exc_info`; None for one of the database, whose text may quote a row, device token and all."""
    return None if isinstance(error, psycopg.Error) else error


def describe(error: BaseException) -> str:
    """The error without what PostgreSQL quotes of the row in DETAIL and CONTEXT."""
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return f"{error.sqlstate} {error.diag.message_primary}"
    return f"{type(error).__name__}: {error}".strip()
