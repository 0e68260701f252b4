"""Where the ledger is: the very database that Django uses, for connections that are not Django's."""

from __future__ import annotations

from typing import Any

import orjson
import psycopg
from django.db import connections
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo
from psycopg.types.json import set_json_loads


def conninfo() -> str:
    """libpq's connection string of Django's default database, embedded or not, in tests too. It holds the password."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    parameters = connections["default"].get_connection_params()
    return make_conninfo(**{k: v for k, v in parameters.items() if k in known and v not in (None, "")})


def connect(conninfo: str) -> psycopg.Connection[Any]:
    """A connection for the writer. Raises psycopg.OperationalError within seconds when the database is away."""
    connection = psycopg.connect(conninfo, autocommit=True, application_name="push-writer", connect_timeout=5)
    set_json_loads(orjson.loads, connection)  # json.loads makes integers of 1e30 that orjson cannot write again
    return connection
