"""A fresh database for each run, and what the ledger in it says afterwards."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from secrets import token_hex
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from bench.processes import BenchError

ENDS = """
SELECT count(*) FILTER (WHERE status = 'sent' AND reported_at IS NOT NULL), count(*)
FROM notifications
"""
SENDS = """
SELECT count(*) FILTER (WHERE status = 'sent' AND provider_message_id <> ''), count(*),
       coalesce(sum(unknown_count), 0)
FROM push_deliveries
"""


@dataclass(frozen=True)
class Server:
    """The PostgreSQL at a `postgresql://` URL, whose user may create databases."""

    url: str

    def address(self, database: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    def run(self, statement: str, *names: str) -> None:
        quoted = sql.SQL(statement).format(*map(sql.Identifier, names))
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(quoted)

    @contextmanager
    def template(self, variables: dict[str, str]) -> Iterator[str]:
        """The name of a database that is migrated and empty."""
        with self._database("CREATE DATABASE {}") as name:
            migrate(variables | {"DATABASE_URL": self.address(name)})
            yield name

    @contextmanager
    def copy(self, template: str) -> Iterator[str]:
        """The address of a new database."""
        with self._database("CREATE DATABASE {} TEMPLATE {}", template) as name:
            yield self.address(name)

    @contextmanager
    def _database(self, statement: str, *others: str) -> Iterator[str]:
        name = f"bench_{token_hex(4)}"
        try:
            self.run(statement, name, *others)
            yield name
        finally:
            self.run("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def migrate(variables: dict[str, str]) -> None:
    """Raises BenchError with what `manage.py migrate` said."""
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"manage.py migrate: {done.stdout}{done.stderr}")


@dataclass(frozen=True, slots=True)
class Account:
    """What the ledger says: notifications sent and reported, of how many; deliveries likewise."""

    settled: int
    notifications: int
    sent: int
    deliveries: int
    unknown: int
    dead_letters: int


class Ledger:
    """A look at a run's rows from outside, over one connection."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)

    def workers(self) -> list[int]:
        """The pids of the worker processes whose engines run."""
        return [pid for (pid,) in self.connection.execute("SELECT pid FROM workers ORDER BY pid")]

    def account(self) -> Account:
        values: list[int] = []
        for query in (ENDS, SENDS, "SELECT count(*) FROM dead_letters"):
            values += self.connection.execute(query).fetchone() or ()
        return Account(*map(int, values))

    def close(self) -> None:
        self.connection.close()
