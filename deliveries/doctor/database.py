"""The database: whether it answers, as whom, and whether it can keep what we promise."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import NamedTuple

import psycopg
from django.conf import settings
from django.db import DatabaseError, connections

from deliveries.doctor.configuration import setting_of
from deliveries.doctor.findings import Finding, failed, ok, warning
from deliveries.ledger.asking import Connection, ask

PATIENCE = 5.0  # seconds
OLDEST, NEWEST = 15, 18
MAX_SKEW = 2.0  # seconds

FACTS = """
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding'), pg_is_in_recovery(),
       current_setting('default_transaction_read_only')::bool, current_setting('fsync')::bool,
       current_setting('synchronous_commit') <> 'off', extract(epoch FROM clock_timestamp())::float8
"""

# What libpq, psycopg and PostgreSQL say of a connection that was not made; what that means; what to do. {url} is the
# setting at fault.
TROUBLES = (
    ("failed to resolve|could not translate host", "the host {host} is not known.", "Correct the host in {url}."),
    (
        "Connection refused",
        "nobody listens at {host}, port {port}.",
        "Start PostgreSQL, or correct host and port in {url}.",
    ),
    (
        "timeout|timed out|unreachable|No route",
        "{host}, port {port}, does not answer.",
        "Check host and port in {url}, and the firewalls on the way.",
    ),
    (
        "password authentication failed",
        "PostgreSQL refuses the password of user {user}.",
        "Correct user and password in {url}.",
    ),
    (
        "no password supplied",
        "PostgreSQL wants a password of user {user}, and there is none.",
        "Add the password to {url}: postgresql://user:password@host:5432/name.",
    ),
    (
        'role ".*" does not exist',
        "PostgreSQL knows no user {user}.",
        "Correct the user in {url}, or make it: createuser.",
    ),
    (
        'database ".*" does not exist',
        "PostgreSQL has no database {name}.",
        "Correct the database's name in {url}, or make it: createdb.",
    ),
    (
        "pg_hba.conf",
        "PostgreSQL does not let user {user} into database {name} from here.",
        "Add a line for this machine to its pg_hba.conf, or correct {url}.",
    ),
    (
        "too many clients|remaining connection slots|too many connections",
        "PostgreSQL has no connection left for us.",
        "Raise its max_connections, or run fewer workers and threads.",
    ),
    ("starting up|shutting down|recovery mode", "PostgreSQL is just starting or stopping.", "Try again in a moment."),
    ("SSL|certificate", "TLS with {host} fails.", "Correct sslmode and sslrootcert in {url}, or PostgreSQL's TLS."),
    (
        "No such file",
        "there is no socket of PostgreSQL in {host}.",
        "Start PostgreSQL, or correct the directory in {url}.",
    ),
    ("embedded PostgreSQL", "the embedded PostgreSQL does not start.", "See server.log under VAR_DIR, or set {url}."),
)


class Facts(NamedTuple):
    """What the server says of itself; its clock in seconds since 1970."""

    version: int
    encoding: str
    in_recovery: bool
    read_only: bool
    fsync: bool
    waits_for_disk: bool
    clock: float


def examine() -> Iterator[Finding]:
    begun = time.time()
    try:
        facts = ask(_facts, PATIENCE)
    except (psycopg.Error, DatabaseError, TimeoutError) as error:
        yield unreachable(error)
        return
    where = (
        "embedded" if settings.PUSH.embedded_database else "at {host}, port {port}, database {name}".format(**_place())
    )
    yield ok("database", f"PostgreSQL {facts.version} answers: {where}.")
    yield from _is_fit(facts)
    yield from _is_durable(facts)
    yield from _clock(facts, (begun + time.time()) / 2)


def unreachable(error: Exception) -> Finding:
    """Why the database does not answer, in plain words."""
    said = str(error) or "timeout"
    url = setting_of("DATABASE_URL")
    place = _place() | {"url": url}
    for pattern, what, fix in TROUBLES:
        if re.search(pattern, said):
            return failed("database", f"{url}: {what.format(**place)}", fix.format(**place))
    last = (said.rpartition("FATAL:")[2] or said).strip().split("\n")[0][:200]
    return failed("database", f"{url}: PostgreSQL says: {last}", f"Correct {url}, or what PostgreSQL complains of.")


def _place() -> dict[str, str]:
    known = connections["default"].settings_dict
    return {
        "host": known["HOST"] or "localhost",
        "port": str(known["PORT"] or 5432),
        "name": known["NAME"],
        "user": known["USER"],
    }


async def _facts(connection: Connection) -> Facts:
    row = await (await connection.execute(FACTS)).fetchone()
    assert row is not None
    return Facts(*row)


def _is_fit(facts: Facts) -> Iterator[Finding]:
    url = setting_of("DATABASE_URL")
    if facts.version < OLDEST:
        what = f"{url}: PostgreSQL {facts.version} is too old: {OLDEST} to {NEWEST} will do."
        yield failed("database version", what, f"Upgrade it, or name another server in {url}.")
    if facts.version > NEWEST:
        what = f"PostgreSQL {facts.version} is newer than what this version was tested with, up to {NEWEST}."
        yield warning("database version", what, "Try it elsewhere first, or upgrade this service.")
    if facts.encoding != "UTF8":
        what = f"{url}: the database's encoding is {facts.encoding}, which cannot hold every text."
        yield failed(
            "database encoding", what, "Make a new one, createdb --encoding=UTF8 --template=template0, and name it."
        )
    if facts.in_recovery:
        what = f"{url}: this server is a standby, which can only be read."
        yield failed(
            "database writable",
            what,
            f"Name the primary in {url}; with several hosts: target_session_attrs=read-write.",
        )
    elif facts.read_only:
        what = f"{url}: transactions are read-only here (default_transaction_read_only)."
        yield failed("database writable", what, "Switch that off for this server, database and user.")


def _is_durable(facts: Facts) -> Iterator[Finding]:
    for name, on in (("fsync", facts.fsync), ("synchronous_commit", facts.waits_for_disk)):
        if not on:
            what = f"PostgreSQL's {name} is off: what was accepted is lost when it crashes."
            yield warning("durability", what, f"Set {name} = on in postgresql.conf, and for this database and user.")


def _clock(facts: Facts, now: float) -> Iterator[Finding]:
    skew = abs(facts.clock - now)
    if skew > MAX_SKEW:
        what = f"The clocks of this machine and of the database differ by {skew:.0f} s."
        yield warning("clock", what, "Let both follow NTP: Google refuses tokens that are signed at a wrong time.")
