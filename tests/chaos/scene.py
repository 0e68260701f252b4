"""The scene of a fault: a real worker or several, RabbitMQ and PostgreSQL behind proxies, and what was accepted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from django.db import Error, connection

from deliveries.api import keys
from deliveries.broker import Topology
from deliveries.health import read_ledger
from deliveries.ledger.asking import ask
from deliveries.models import ApiKey
from tests.chaos import invariants
from tests.chaos.proxy import Proxy
from tests.postgres import PostgresServer
from tests.processes import free_port
from tests.rabbit import RabbitNode
from tests.world import (
    QUICK,
    ROOT,
    Producer,
    SandboxProcess,
    WorkerProcess,
    all_ended,
    database_url,
    eventually,
    message,
    query,
)

#: Short enough for a test; a busy machine still beats within a fifth of the lease.
TIMES = QUICK | {"DELIVERY_LEASE": "3", "LOG_LEVEL": "INFO"}


class Scene:
    """Workers reach RabbitMQ and PostgreSQL through proxies; the test itself goes there straight.

    `confirmed` holds the ids that RabbitMQ confirmed or the API answered 202. `check` is how every test ends.
    """

    def __init__(self, rabbit: RabbitNode, postgres: PostgresServer, sandbox: SandboxProcess, directory: Path) -> None:
        self.rabbit = rabbit
        self.postgres = postgres
        self.sandbox = sandbox
        self.directory = directory
        self.database = Proxy(postgres.port)
        self.broker = Proxy(rabbit.port)
        self._databases = [self.database]
        self.confirmed: set[str] = set()
        self.workers: list[WorkerProcess] = []
        self._servers: list[subprocess.Popen[bytes]] = []
        self._answers_lost = False
        self._api: tuple[str, dict[str, str]] | None = None
        self._secrets: set[str] = set()
        self._prepare_queues()

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a worker or a server in this scene."""
        return self._variables(self.database)

    def _variables(self, database: Proxy) -> dict[str, str]:
        parts = psycopg.conninfo.conninfo_to_dict(database_url())
        through = f"postgresql://{parts['user']}@127.0.0.1:{database.port}/{parts['dbname']}"
        rabbit = self.rabbit.url.replace(str(self.rabbit.port), str(self.broker.port))
        return TIMES | self.sandbox.variables() | {"DATABASE_URL": through, "RABBITMQ_URL": rabbit}

    def worker(self, *, database: Proxy | None = None, **more: str) -> WorkerProcess:
        """Starts a worker and returns at once; `wait_until_ready` waits for it.

        It reaches PostgreSQL through `database`, a proxy of `way_to_database`, or else through the one for all.
        """
        log = self.directory / f"worker-{len(self.workers)}.log"
        self.workers.append(WorkerProcess(log, self._variables(database or self.database) | more))
        return self.workers[-1]

    def way_to_database(self) -> Proxy:
        """One more proxy to PostgreSQL, whose faults meet those alone who go through it."""
        self._databases.append(Proxy(self.postgres.port))
        return self._databases[-1]

    def redirect_database(self, port: int) -> None:
        """PostgreSQL is at another port from now on, for all who reach it through proxies."""
        for way in self._databases:
            way.come_back(port)

    def kill(self, *workers: WorkerProcess) -> None:
        """kill -9 of these workers, or of all. The gateway's answer to a report may die with them."""
        self._answers_lost = True
        for worker in workers or self.workers:
            worker.kill()

    def forgive_lost_answers(self) -> None:
        """From here on the gateway may have taken a report without a worker learning of it."""
        self._answers_lost = True

    def publish(self, ids: Iterable[str], **more: Any) -> None:
        """Publishes a push request for each id, confirmed, straight to RabbitMQ."""
        ids = list(ids)
        self.publish_raw(json.dumps(message(id, **more)).encode() for id in ids)
        self.confirmed.update(ids)

    def publish_raw(self, bodies: Iterable[bytes]) -> None:
        """Publishes bodies as they are, confirmed."""
        producer = Producer(self.rabbit.url)
        try:
            for body in bodies:
                producer.publish(body)
        finally:
            producer.close()

    def serve(self, **more: str) -> str:
        """Starts `manage.py serve` beside the workers and returns its address once it is alive.

        With WEB_THREADS="1" it has no more connections to PostgreSQL after many requests than after the first.
        """
        port = free_port()
        with (self.directory / "serve.log").open("a") as out:
            command = [sys.executable, "manage.py", "serve", "--bind", f"127.0.0.1:{port}"]
            self._servers.append(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=os.environ | self.variables | more,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            )
        key = keys.create("chaos", ApiKey.Scope.values, actor="shell test").key
        self._secrets.add(key)
        self._api = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {key}"}
        eventually(self._is_alive, what="a server that is alive")
        return self._api[0]

    @property
    def headers(self) -> dict[str, str]:
        """What a request to the server has to carry: a key that may do everything."""
        assert self._api is not None
        return self._api[1]

    def post(self, id: str, **more: Any) -> int:
        """The API's answer to a push request: its HTTP status."""
        return self.post_message(message(id, **more))

    def post_message(self, body: dict[str, Any]) -> int:
        assert self._api is not None
        url, headers = self._api
        answer = requests.post(f"{url}/api/v1/notifications/", json=body, headers=headers, timeout=30)
        if answer.status_code == 202:
            self.confirmed.add(body["notification_id"])
        return answer.status_code

    def health(self) -> dict[str, Any]:
        """What the running server says of itself."""
        assert self._api is not None
        answer: dict[str, Any] = requests.get(f"{self._api[0]}/api/v1/health", timeout=30).json()
        return answer

    def consumers(self) -> int:
        """How many consumers `push.queue` has."""
        producer = Producer(self.rabbit.url)
        try:
            return int(producer.channel.queue_declare("push.queue", passive=True).method.consumer_count)
        finally:
            producer.close()

    def accepted(self) -> int:
        """How many messages FCM has accepted so far."""
        return int(self.sandbox.book(full=False)["accepted_count"])

    def look(self, question: Callable[[], Any]) -> Any:
        """The answer of a question to the database, None while that is away."""
        try:
            return question()
        except Error:
            connection.close()
            return None

    def drained(self, *, within: float = 60.0) -> None:
        """I8: waits until all that was accepted has ended and is reported, and the queue has nothing to give."""

        def done() -> bool:
            [[rows]] = query("SELECT count(*) FROM notifications WHERE notification_id = ANY(%s)", list(self.confirmed))
            [[dead]] = query("SELECT count(*) FROM dead_letters WHERE notification_id = ANY(%s)", list(self.confirmed))
            return bool(rows + dead >= len(self.confirmed)) and all_ended()

        eventually(lambda: self.look(done), within=within, what="I8: all ended and reported")
        eventually(lambda: self.depth("push.queue") == 0, what="I8: an empty queue")

    def check(self) -> None:
        """I1 to I5, I7, and of I8 that all is acked; what is about threads and connections (I6) is `check_size`'s."""
        invariants.check_accepted(self.confirmed)
        invariants.check_ledger(self.sandbox, answers_lost=self._answers_lost)
        invariants.check_logs(self.directory.glob("*.log"), self._secrets | private_key_of(self.sandbox))
        eventually(lambda: self.rabbit.list_queues()["push.queue"] == 0, what="I8: an empty queue, all of it acked")

    def sent(self, *ids: str) -> bool:
        """Whether all of these are sent by now."""
        return query(
            "SELECT count(*) FROM notifications WHERE notification_id = ANY(%s) AND status = 'sent'", list(ids)
        ) == [(len(ids),)]

    def depth(self, queue: str) -> int:
        """How many messages are ready in a queue."""
        producer = Producer(self.rabbit.url)
        try:
            return producer.depth(queue)
        finally:
            producer.close()

    def statuses(self) -> dict[str, int]:
        """How many notifications there are of each status and error code, as `failed/exhausted`."""
        rows = query("SELECT concat_ws('/', status, nullif(error_code, '')), count(*) FROM notifications GROUP BY 1")
        return dict(rows)

    def hurry(self, like: str = "%") -> None:
        """Moves the clock of these rows instead of waiting: all that waits is due now, and all brakes are over."""
        query("UPDATE brakes SET until = now() - interval '1 h', taken = 0")
        query(
            "UPDATE push_deliveries SET next_attempt_at = now() WHERE next_attempt_at > now()"
            " AND notification_id LIKE %s",
            like,
        )
        query(
            "UPDATE notifications SET next_attempt_at = now() WHERE next_attempt_at > now() AND worker_id IS NULL"
            " AND notification_id LIKE %s",
            like,
        )

    def waits(self, like: str = "%") -> list[tuple[float, int]]:
        """The seconds that each failed attempt of these asked to wait, and its number within its notification."""
        return query(
            "SELECT retry_after, row_number() OVER (PARTITION BY notification_id ORDER BY id)"
            " FROM push_attempts WHERE notification_id LIKE %s ORDER BY id",
            like,
        )

    def burnt(self, like: str = "%") -> int:
        """How many attempts of these are counted against their limit."""
        [[deliveries]] = query("SELECT sum(attempts) FROM push_deliveries WHERE notification_id LIKE %s", like)
        [[lookups]] = query("SELECT sum(attempts) FROM notifications WHERE notification_id LIKE %s", like)
        return int(deliveries or 0) + int(lookups or 0)

    def breakers(self) -> dict[str, str]:
        """What the workers' heartbeats say of each upstream, the worst of all of them."""
        return {name: upstream["state"] for name, upstream in ask(read_ledger, 10.0)["upstreams"].items()}

    def unknowns(self) -> int:
        """How many sends the ledger counts whose outcome nobody knows."""
        [[count]] = query("SELECT coalesce(sum(unknown_count), 0) FROM push_deliveries")
        return int(count)

    def repeats(self) -> int:
        """How many pushes FCM accepted a second time."""
        return int(self.sandbox.book(full=False)["repeats"])

    def warmed(self, worker: WorkerProcess) -> tuple[int, int, int]:
        """Its size once it has everything that it ever opens: after the first notification (for I6)."""
        self.publish([f"warm-{len(self.workers)}"])
        self.drained()
        return self.size(worker)

    def size(self, worker: WorkerProcess) -> tuple[int, int, int]:
        """Threads of a worker process, and its connections to PostgreSQL and to RabbitMQ (for I6)."""
        databases = connections_of(worker, *(way.port for way in self._databases))
        return threads_of(worker), databases, connections_of(worker, self.broker.port)

    def check_size(self, worker: WorkerProcess, before: tuple[int, int, int]) -> None:
        """I6: after a fault there are exactly as many threads and connections as before it."""
        with suppress(pytest.fail.Exception):
            eventually(lambda: self.size(worker) == before)
        now = self.size(worker)
        assert now == before, f"I6: {now} threads, connections to PostgreSQL and to RabbitMQ; before: {before}"

    def close(self) -> None:
        """Ends everything that was started; the database can be emptied then. What fails keeps nothing else alive."""
        with ExitStack() as ends:
            ends.callback(connection.close)
            for way in (*self._databases, self.broker):
                ends.callback(way.close)
            for server in self._servers:
                ends.callback(_end, server)
            for worker in self.workers:
                ends.callback(worker.kill)

    def _prepare_queues(self) -> None:
        """Makes them before a worker does, which says that it is ready a moment before it consumes."""
        producer = Producer(self.rabbit.url)
        Topology().ensure_intake(producer.channel.connection)
        producer.close()

    def _is_alive(self) -> bool:
        assert self._api is not None
        with suppress(requests.RequestException):
            return requests.get(f"{self._api[0]}/api/v1/health/live", timeout=5).ok
        return False


def private_key_of(sandbox: SandboxProcess) -> set[str]:
    """The lines of the private key that is in use, without its frame: a log may break it anywhere between them."""
    lines = json.loads(sandbox.key_file.read_text())["private_key"].splitlines()
    return {line for line in lines if len(line) > 32}


def _end(server: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def threads_of(worker: WorkerProcess) -> int:
    """How many threads the worker process has, not its master."""
    return max((_threads(pid) for pid in worker.children()), default=0)


def memory_of(worker: WorkerProcess) -> int:
    """Megabytes that the worker's processes hold in memory."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in worker.children()]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def _threads(pid: int) -> int:
    with suppress(FileNotFoundError):
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    return 0


def connections_of(worker: WorkerProcess, *ports: int) -> int:
    """How many TCP connections the worker process has to these ports of this machine."""
    with suppress(FileNotFoundError):
        files = [file for pid in worker.children() for file in Path(f"/proc/{pid}/fd").iterdir()]
        sockets = {str(file.readlink()) for file in files}
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        there = [int(row[2].split(":")[1], 16) for row in rows if f"socket:[{row[9]}]" in sockets]
        return sum(port in ports for port in there)
    return 0


def at_work(scene: Scene, *workers: WorkerProcess) -> None:
    """Returns once each of these workers, all that there are, has sent something: none makes threads after that."""
    producer = Producer(scene.rabbit.url)
    queue = partial(producer.channel.queue_declare, "push.queue", passive=True)
    eventually(lambda: queue().method.consumer_count == len(workers), what="workers that consume")
    producer.close()
    scene.publish(f"early-{number}" for number in range(20))  # RabbitMQ gives each its share
    scene.drained()


def with_copies(size: tuple[int, int, int]) -> tuple[int, int, int]:
    """As big once the first copy of a dead letter was due: for these it has a thread with a connection."""
    threads, database, broker = size
    return threads + 1, database, broker + 1


def wait(seconds: float) -> None:
    """Lets a fault last for a while: there is no event to wait for."""
    time.sleep(seconds)
