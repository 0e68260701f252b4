"""Where the ledger is: the very database that Django uses, for connections that are not Django's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import psycopg
from django.db import connections
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo
from psycopg.types.json import set_json_loads


def conninfo() -> str:
    """libpq's connection string of Django's default database, embedded or not, in tests too. It holds the password."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    parameters = connections["default"].get_connection_params()
    return make_conninfo(**{k: v for k, v in parameters.items() if k in known and v not in (None, "")})


#: Seconds to connect to one of several servers, for who must know soon: the least that libpq knows.
FOR_EACH = 2


def spread(conninfo: str, seconds: float) -> tuple[str, float]:
    """The address, and the seconds to allow for connecting: where there are several servers, a silent one is left for
    the next in time, and `seconds` is the least for all.
    """
    hosts = str(conninfo_to_dict(conninfo).get("host") or "").split(",")
    if len(hosts) == 1:
        return conninfo, seconds
    return make_conninfo(conninfo, connect_timeout=FOR_EACH), max(seconds, FOR_EACH * len(hosts))


#: Every statement of the ledger finds its rows by an index. A plan made while the tables were still empty would read
#: all of them, row by row, and be kept: that was half of PostgreSQL's time with 20,000 rows, and grows with them.
PLANS = " ".join(
    f"-c {setting}"
    for setting in (
        "enable_seqscan=off",
        "enable_hashjoin=off",
        "enable_mergejoin=off",
        "plan_cache_mode=force_generic_plan",
        "jit=off",
    )
)


#: A lock that somebody keeps, a statement that does not end, a worker that was frozen amid a transaction.
BOUNDS = "-c lock_timeout={lock} -c statement_timeout={statement} -c idle_in_transaction_session_timeout={idle}"


class WritersConnection(psycopg.Connection[Any]):
    """Calls `on_wait` before each wait for the server's answer: to a statement, a BEGIN, a COMMIT."""

    on_wait: Callable[[], None] | None = None

    def wait(self, *arguments: Any, **more: Any) -> Any:
        if self.on_wait is not None:
            self.on_wait()
        return super().wait(*arguments, **more)


def connect(conninfo: str, patience: float = 30.0, stall: float = 12.0) -> WritersConnection:
    """A connection for the writer. Raises psycopg.OperationalError within seconds when the database is away.

    A statement that takes longer than `patience` (s), or waits half as long for a lock, is cancelled by PostgreSQL,
    unless `options` of the operator's own say otherwise. A transaction in which nothing happens for `stall` (s) is
    rolled back: its worker is cut off, and whoever takes over its rows would wait for the locks on them.
    """
    milliseconds = {"lock": patience * 500, "statement": patience * 1000, "idle": stall * 1000}
    bounds = BOUNDS.format(**{bound: int(time) for bound, time in milliseconds.items()})
    options = f"{bounds} {conninfo_to_dict(conninfo).get('options') or ''} {PLANS}"
    connection = WritersConnection.connect(conninfo, autocommit=True, application_name="push-writer", options=options)
    set_json_loads(orjson.loads, connection)  # json.loads makes integers of 1e30 that orjson cannot write again
    return connection
