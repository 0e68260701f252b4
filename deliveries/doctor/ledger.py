"""The ledger in the database: its tables, who works on it, what waits in it, and who may look at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from django.apps import apps
from django.db import DatabaseError
from django.db.migrations.loader import MigrationLoader

from deliveries.console.words import worker_command
from deliveries.doctor.configuration import setting_of
from deliveries.doctor.database import PATIENCE
from deliveries.doctor.findings import Finding, failed, ok, warning
from deliveries.health import read_ledger
from deliveries.ledger.asking import Connection, ask

#: Seconds that a due notification may wait before it is worth a word: the dispatcher looks once a second.
LATE = 60.0

MIGRATED = "SELECT app, name FROM django_migrations"
IS_THERE = "SELECT to_regclass('django_migrations') IS NOT NULL"
FORBIDDEN = """
SELECT name FROM unnest(%s::text[]) AS name
WHERE to_regclass(name) IS NOT NULL
  AND NOT (has_table_privilege(name, 'SELECT') AND has_table_privilege(name, 'INSERT')
           AND has_table_privilege(name, 'UPDATE') AND has_table_privilege(name, 'DELETE'))
"""
# Of an index that is built beside the work, and whose building was broken off, this is left.
HALF_BUILT = """
SELECT i.indexrelid::regclass::text FROM pg_index i
WHERE NOT i.indisvalid AND i.indrelid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)
"""
PEOPLE = "SELECT count(*) FROM auth_user WHERE is_superuser AND is_active"
KEYS = "SELECT count(*) FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"

WORDS = {
    "closed": "answers",
    "half-open": "is being tried again after trouble",
    "open": "is in trouble and not called for now",
    "no credentials": "refuses our credentials",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger told; `told` is None where its tables are not there to be asked."""

    missing: list[str]
    unknown: list[str]
    forbidden: list[str]
    half_built: tuple[str, ...] = ()
    told: dict[str, Any] | None = None
    superusers: int = 0
    keys: int = 0


def examine() -> Iterator[Finding]:
    try:
        standing = ask(_standing, PATIENCE)
    except (psycopg.OperationalError, DatabaseError, TimeoutError):
        return  # the examination of the database says why
    yield from _tables(standing)
    if standing.told is not None:
        yield from _workers(standing.told)
        yield from _upstreams(standing.told)
        yield from _people(standing)


async def _standing(connection: Connection) -> Standing:
    tables = [model._meta.db_table for model in apps.get_models(include_auto_created=True)]  # noqa: SLF001 - Django's API
    forbidden = [name for (name,) in await _rows(connection, FORBIDDEN, ["django_migrations", *tables])]
    if forbidden:
        return Standing([], [], forbidden)
    [[is_there]] = await _rows(connection, IS_THERE)
    applied = set(await _rows(connection, MIGRATED)) if is_there else set()
    wanted = set(MigrationLoader(None).disk_migrations)
    missing = sorted(".".join(one) for one in wanted - applied)
    unknown = sorted(".".join(one) for one in applied - wanted if one[0] == "deliveries")
    if missing:
        return Standing(missing, unknown, [], tuple(name for (name,) in await _rows(connection, HALF_BUILT, tables)))
    [[superusers]] = await _rows(connection, PEOPLE)
    [[keys]] = await _rows(connection, KEYS)
    return Standing(missing, unknown, [], (), await read_ledger(connection), superusers, keys)


async def _rows(connection: Connection, statement: str, *parameters: Any) -> list[Any]:
    return await (await connection.execute(statement, parameters or None)).fetchall()


def _tables(standing: Standing) -> Iterator[Finding]:
    if standing.forbidden:
        url = setting_of("DATABASE_URL")
        what = (
            f"{url}: its user may not read and write {len(standing.forbidden)} tables, such as {standing.forbidden[0]}."
        )
        fix = (
            f"Name their owner in {url}, or: GRANT ALL ON ALL TABLES, and ALL SEQUENCES, IN SCHEMA public TO the user."
        )
        yield failed("privileges", what, fix)
    elif standing.missing:
        what = f"{len(standing.missing)} migrations are missing, the first is {standing.missing[0]}."
        fix = "python manage.py migrate"
        for name in standing.half_built[:1]:
            what += f" The index {name} is half built: the migration was broken off, if none is going on."
            fix = f"DROP INDEX CONCURRENTLY {name}; then {fix}"
        yield failed("migrations", what, fix)
    elif standing.unknown:
        what = f"The tables are newer than this version: it does not know {', '.join(standing.unknown)}."
        yield warning("migrations", what, "Run the version that made them.")
    else:
        yield ok("migrations", "The tables are as new as this version.")


def _workers(told: dict[str, Any]) -> Iterator[Finding]:
    workers, due = told["workers"], told["oldest_due_seconds"]
    if workers["alive"]:
        yield ok("workers", f"{workers['alive']} alive, {workers['in_flight']} notifications in flight.")
    else:
        yield warning("workers", "No worker is alive: what is accepted waits until it expires.", worker_command())
    if due > LATE:
        what = f"The longest waiting notification has been due for {due:.0f} s."
        yield warning(
            "oldest due", what, f"Start a worker more, and see the logs of those that run: {worker_command()}"
        )
    if dead := told["dead_letters"]["open"]:
        yield ok("dead letters", f"{dead} are open: see them in the console.")
    if refused := told["reports"]["refused_last_day"]:
        what = f"The gateway refused {refused} reports for good within a day: it never heard how those ended."
        yield warning(
            "reports", what, "See in the console what it said to one; check API_GATEWAY_URL and UPSTREAM_PROFILE."
        )


def _upstreams(told: dict[str, Any]) -> Iterator[Finding]:
    for name, upstream in told["upstreams"].items():
        if upstream["state"] != "closed":
            what = f"A worker says that {name.replace('_', ' ')} {WORDS[upstream['state']]}."
            yield warning(
                "upstreams", what, "See what is said of it here; a worker notices by itself when it is mended."
            )


def _people(standing: Standing) -> Iterator[Finding]:
    if standing.superusers:
        yield ok("superuser", f"{standing.superusers} may do everything in the console.")
    else:
        yield warning("superuser", "Nobody may open the console.", "python manage.py createsuperuser")
    usable = f"{standing.keys} can be used." if standing.keys else "None yet: python manage.py apikey <name>"
    yield ok("API keys", usable)
