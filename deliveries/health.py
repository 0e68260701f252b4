"""How the service is: what it needs, whether anybody is working, and what the workers say of their upstreams.

The answer is for everybody, so it holds no address, no name of a host and no error's text. docs/health.md explains it.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import dramatiq
import psycopg
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from pika import BlockingConnection
from psycopg.errors import UndefinedColumn, UndefinedTable

from deliveries.broker import PushBroker, Topology
from deliveries.broker.inspection import Likeness, asked, compare, is_blocked, look_at
from deliveries.ledger.asking import Connection, ask
from deliveries.models.samples import MARK
from deliveries.prune_guard import stopped
from deliveries.ramp import FAR
from deliveries.remembering import Remembered

logger = logging.getLogger(__name__)

#: Seconds that database and RabbitMQ are given for each question.
PATIENCE = 2.0
RABBITMQ_REMEMBERED = 5.0  # seconds
LIKENESS_REMEMBERED = 300.0  # seconds; RabbitMQ logs each time that it finds a difference
UNMIGRATED = "The database lacks migrations: run `manage.py migrate`."
SILENT = "The database does not answer."
UNWRITABLE = "The database takes no changes: it only reads, or its disk is full."

# Workers that have been silent for a day are forgotten by the others' heartbeats.
WORKERS = """
SELECT in_flight, breakers, extract(epoch FROM now() - heartbeat_at)::float8 AS silence
FROM workers WHERE heartbeat_at > now() - interval '1 day'
"""

# One look at the beginning of the index of due rows, for each priority.
OLDEST_DUE = """
SELECT greatest(0, extract(epoch FROM now() - least(
    (SELECT min(next_attempt_at) FROM notifications
     WHERE worker_id IS NULL AND next_attempt_at IS NOT NULL AND high_priority),
    (SELECT min(next_attempt_at) FROM notifications
     WHERE worker_id IS NULL AND next_attempt_at IS NOT NULL AND NOT high_priority))))::float8
"""

# From their index, and no further than anybody reads.
OPEN_DEAD_LETTERS = "SELECT count(*) FROM (SELECT 1 FROM dead_letters WHERE state = 'open' LIMIT 10000) AS opened"

# The same, but for those that the demo made up: nobody is to be called because of them.
REAL_DEAD_LETTERS = f"""
SELECT count(*) FROM (
    SELECT 1 FROM dead_letters WHERE state = 'open' AND NOT starts_with(body_hash, '{MARK}') LIMIT 10000) AS opened
"""  # noqa: S608

HELD_TOKENS = "SELECT count(*) FROM (SELECT 1 FROM dead_tokens WHERE held_at IS NOT NULL LIMIT 10000) AS held"

# Those that are on or whose ramp is crowded, and whether one of them holds up everything: of all processes (because the
# provider, or an operator, wants it), or of one.
BRAKES = """
SELECT jsonb_build_object('on', count(*), 'project', count(*) FILTER (WHERE scope IN ('project', 'operator')) > 0,
                          'process', count(*) FILTER (WHERE scope = 'process') > 0)
FROM brakes
WHERE until > now() OR until + make_interval(secs => greatest(taken, taken_urgent) - %(far)s) > now()
"""

READ_ONLY = "SELECT current_setting('transaction_read_only') = 'on'"

# The same; what was refused longer ago has been seen or does not matter.
REFUSED_REPORTS = """
SELECT count(*) FROM (
    SELECT 1 FROM notifications WHERE report_refused_at > now() - interval '1 day' LIMIT 10000) AS refused
"""

#: What a worker may say of an upstream, the worst last: its breaker's state, or that we may not.
UPSTREAM_STATES = ("closed", "half-open", "open", "no credentials")


def check() -> dict[str, Any]:
    """Everything, as JSON. `status` is `ok`, `degraded` (it works, not well) or `down`."""
    report = {"database": _database(), "rabbitmq": rabbitmq()}
    report |= report["database"].pop("ledger", {})
    return {"status": _status(report), **report}


def not_ready() -> str | None:
    """Why requests cannot be served, in plain words; None when they can."""
    try:
        ask(lambda asked: asked.execute("SELECT 1"), PATIENCE)
        return None if _is_migrated() else UNMIGRATED
    except (psycopg.Error, DatabaseError, TimeoutError) as error:
        return _trouble(error)


def _status(report: dict[str, Any]) -> str:
    if "down" in (report["database"]["status"], report["rabbitmq"]["status"]):
        return "down"
    all_closed = all(upstream["state"] == "closed" for upstream in report["upstreams"].values())
    prunes = report["dead_tokens"]["pruning"] == "on"
    sends = all_closed and not (report["brakes"]["project"] or report["brakes"]["process"])
    well = report["workers"]["alive"] and sends and prunes and _comes_in(report["rabbitmq"])
    return "ok" if well else "degraded"


def _comes_in(rabbitmq: dict[str, Any]) -> bool:
    """Whether messages find their way from producers to workers, as far as is known."""
    if rabbitmq["status"] == "embedded":
        return True
    queue = rabbitmq["queue"]
    return queue["exists"] is not False and queue["consumers"] != 0 and not rabbitmq["blocked"]


def _database() -> dict[str, Any]:
    """Whether the database answers, how fast (ms, with connecting), and what the ledger in it says."""
    begun = time.monotonic()
    try:
        ledger = ask(read_ledger, PATIENCE)
    except (psycopg.Error, DatabaseError, TimeoutError) as error:
        return {"status": "down", "reason": _trouble(error)}
    if not ledger.pop("writable"):
        return {"status": "down", "reason": UNWRITABLE}
    return {"status": "up", "latency_ms": round((time.monotonic() - begun) * 1000, 1), "ledger": ledger}


def _trouble(error: Exception) -> str:
    logger.warning("The database is not well: %s", str(error).strip() or repr(error))
    return UNMIGRATED if isinstance(error, UndefinedTable | UndefinedColumn) else SILENT


async def read_ledger(connection: Connection) -> dict[str, Any]:
    """What the ledger says of workers, upstreams and what waits. Raises psycopg.Error."""
    workers = await (await connection.execute(WORKERS)).fetchall()
    oldest = await _number(connection, OLDEST_DUE)
    dead = await _number(connection, REAL_DEAD_LETTERS)
    refused = await _number(connection, REFUSED_REPORTS)
    held = await _number(connection, HELD_TOKENS)
    alive = [worker for worker in workers if worker[2] < settings.PUSH.delivery_lease]
    read_only = await _number(connection, READ_ONLY)
    return {
        "writable": not read_only and _is_written_to(breakers for _, breakers, _ in alive),
        "workers": {
            "alive": len(alive),
            "silent": len(workers) - len(alive),
            "in_flight": sum(in_flight for in_flight, _, _ in alive),
            "oldest_heartbeat_seconds": _rounded(max((silence for _, _, silence in alive), default=None)),
            "last_heard_seconds": _rounded(min((silence for _, _, silence in workers), default=None)),
        },
        "upstreams": _upstreams(breakers for _, breakers, _ in alive),
        "oldest_due_seconds": round(oldest or 0.0, 1),
        "brakes": await _number(connection, BRAKES, far=FAR),
        "dead_letters": {"open": dead},
        "dead_tokens": {
            "held": held,
            "pruning": "stopped" if stopped(breakers for _, breakers, _ in alive) else "on",
        },
        "reports": {"refused_last_day": refused},
    }


async def _number(connection: Connection, statement: str, **given: float) -> Any:
    row = await (await connection.execute(statement, given)).fetchone()
    return row[0] if row else None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(max(0.0, seconds), 1)


def _is_written_to(told: Iterable[dict[str, Any]]) -> bool:
    """Whether any worker can write, as far as is known: a full disk lets everybody read, and hearts beat in place."""
    states = [upstream_state(of_one_worker["ledger"]) for of_one_worker in told if "ledger" in of_one_worker]
    return not states or "closed" in states


def _upstreams(told: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The worst that any worker says of each upstream: all have breakers of their own."""
    states: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for of_one_worker in told:
        for name, upstream in of_one_worker.items():
            rank = UPSTREAM_STATES.index(upstream_state(upstream))
            states[name].append((rank, upstream["breaker"].get("retry_after", 0.0)))
    worst = {name: max(seen) for name, seen in sorted(states.items())}
    return {name: {"state": UPSTREAM_STATES[rank], "retry_after": wait} for name, (rank, wait) in worst.items()}


def upstream_state(told: dict[str, Any]) -> str:
    """One of UPSTREAM_STATES, from what a worker's heartbeat tells of an upstream."""
    if told.get("credentials", "ok") != "ok":
        return "no credentials"
    state: str = told["breaker"]["state"]
    return state


def _ask_rabbitmq() -> dict[str, Any]:
    """`up` and what it says of the queues, `down`, or `embedded` where there is none. A whole exchange takes 10 ms."""
    broker = dramatiq.get_broker()
    if not isinstance(broker, PushBroker):
        return {"status": "embedded"}
    try:
        with asked(broker.parameters, PATIENCE) as amqp:
            return {"status": "up", **_queues(amqp, broker.topology)}
    except Exception as error:  # noqa: BLE001 - pika's timeouts have no base of their own
        logger.warning("RabbitMQ is not well: %r", error)
        return {"status": "down"}


def _queues(amqp: BlockingConnection, topology: Topology) -> dict[str, Any]:
    queue = look_at(amqp, topology.queue)
    if not queue.exists:
        likeness.forget()
    like = likeness(amqp, topology) if queue.exists else Likeness(None)
    return {
        "queue": {
            "name": topology.queue,
            "exists": queue.exists,
            "messages": queue.messages,
            "consumers": queue.consumers,
            "expected": like.expected,
            "difference": like.difference,
        },
        "dead_letters": {
            "name": topology.dead_letter_queue,
            "messages": look_at(amqp, topology.dead_letter_queue).messages,
        },
        "blocked": is_blocked(amqp),
    }


rabbitmq = Remembered(_ask_rabbitmq, RABBITMQ_REMEMBERED)
likeness = Remembered(compare, LIKENESS_REMEMBERED)

_migrated = False


def _is_migrated() -> bool:
    """Looked at until it is so: the code of a running process gets no newer."""
    global _migrated  # noqa: PLW0603
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _migrated
