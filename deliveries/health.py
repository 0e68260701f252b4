"""How the service is: what it needs, whether anybody is working, and what the workers say of their upstreams.

The answer is for everybody, so it holds no address, no name of a host and no error's text.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import timedelta
from threading import Lock
from typing import Any

import dramatiq
from django.conf import settings
from django.db import DatabaseError, InterfaceError, ProgrammingError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models.functions import Now
from pika import BlockingConnection

from deliveries.broker import PushBroker
from deliveries.broker.connection import impatient
from deliveries.models import Worker

logger = logging.getLogger(__name__)

#: What the database is given for each question.
PATIENCE = "SET LOCAL statement_timeout = '2s'"
RABBITMQ_REMEMBERED = 5.0  # seconds
UNMIGRATED = "The database lacks migrations: run `manage.py migrate`."
SILENT = "The database does not answer."

# One look at the beginning of the index of due rows, for each priority.
OLDEST_DUE = """
SELECT greatest(0, extract(epoch FROM now() - least(
    (SELECT min(next_attempt_at) FROM notifications
     WHERE worker_id IS NULL AND next_attempt_at IS NOT NULL AND high_priority),
    (SELECT min(next_attempt_at) FROM notifications
     WHERE worker_id IS NULL AND next_attempt_at IS NOT NULL AND NOT high_priority))))::float8
"""

#: What a worker may say of an upstream, the worst last: its breaker's state, or that we may not.
UPSTREAM_STATES = ("closed", "half-open", "open", "no credentials")


def check() -> dict[str, Any]:
    """Everything, as JSON. `status` is `ok`, `degraded` (it works, not well) or `down`."""
    report = {"database": _database(), "rabbitmq": {"status": rabbitmq()}}
    report |= report["database"].pop("ledger", {})
    return {"status": _status(report), **report}


def not_ready() -> str | None:
    """Why requests cannot be served, in plain words; None when they can."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(PATIENCE)
            cursor.execute("SELECT 1")
        return None if _is_migrated() else UNMIGRATED
    except (DatabaseError, InterfaceError) as error:
        return _trouble(error)


def _status(report: dict[str, Any]) -> str:
    if "down" in (report["database"]["status"], report["rabbitmq"]["status"]):
        return "down"
    all_closed = all(state == "closed" for state in report["upstreams"].values())
    return "ok" if report["workers"]["alive"] and all_closed else "degraded"


def _database() -> dict[str, Any]:
    """Whether the database answers, how fast (ms), and what the ledger in it says."""
    begun = time.monotonic()
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(PATIENCE)
            cursor.execute("SELECT 1")
            latency = round((time.monotonic() - begun) * 1000, 1)
            return {"status": "up", "latency_ms": latency, "ledger": _ledger(cursor)}
    except (DatabaseError, InterfaceError) as error:
        return {"status": "down", "reason": _trouble(error)}


def _trouble(error: Exception) -> str:
    logger.warning("The database is not well: %s", str(error).strip())
    return UNMIGRATED if isinstance(error, ProgrammingError) else SILENT


def _ledger(cursor: Any) -> dict[str, Any]:
    lease = timedelta(seconds=settings.PUSH.delivery_lease)
    workers = list(Worker.objects.filter(heartbeat_at__gt=Now() - lease))
    cursor.execute(OLDEST_DUE)
    [oldest] = cursor.fetchone()
    return {
        "workers": {"alive": len(workers), "in_flight": sum(w.in_flight for w in workers)},
        "upstreams": _upstreams(worker.breakers for worker in workers),
        "oldest_due_seconds": round(oldest or 0.0, 1),
    }


def _upstreams(told: Iterable[dict[str, Any]]) -> dict[str, str]:
    """The worst that any worker says of each upstream: all have breakers of their own."""
    states: dict[str, set[str]] = defaultdict(set)
    for of_one_worker in told:
        for name, upstream in of_one_worker.items():
            states[name].add(upstream_state(upstream))
    return {name: max(seen, key=UPSTREAM_STATES.index) for name, seen in sorted(states.items())}


def upstream_state(told: dict[str, Any]) -> str:
    """One of UPSTREAM_STATES, from what a worker's heartbeat tells of an upstream."""
    if told.get("credentials", "ok") != "ok":
        return "no credentials"
    state: str = told["breaker"]["state"]
    return state


def _ask_rabbitmq() -> str:
    """`up`, `down`, or `embedded` where there is none. A connection of its own is a whole round trip."""
    broker = dramatiq.get_broker()
    if not isinstance(broker, PushBroker):
        return "embedded"
    try:
        BlockingConnection([impatient(p) for p in broker.parameters]).close()
    except Exception as error:  # noqa: BLE001 - pika's timeouts have no base of their own
        logger.warning("RabbitMQ is not well: %r", error)
        return "down"
    return "up"


class Remembered:
    """An answer that is asked for again only when it is `seconds` old, by one thread at a time."""

    def __init__(self, ask: Callable[[], str], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._lock = Lock()
        self._answer = ""
        self._good_until = float("-inf")

    def __call__(self) -> str:
        with self._lock:
            if time.monotonic() > self._good_until:
                self._answer = self._ask()
                self._good_until = time.monotonic() + self._seconds
            return self._answer

    def forget(self) -> None:
        """Lets the next call ask."""
        self._good_until = float("-inf")


rabbitmq = Remembered(_ask_rabbitmq, RABBITMQ_REMEMBERED)

_migrated = False


def _is_migrated() -> bool:
    """Looked at until it is so: the code of a running process gets no newer."""
    global _migrated  # noqa: PLW0603
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _migrated
