"""The world around a test: the sandbox, a worker as operators start it, an engine in the test's own process."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pika
import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import connection

from deliveries.contract import read_document
from deliveries.engine import Engine
from deliveries.ledger import Accept
from deliveries.ledger.connection import conninfo
from deliveries.neighbours.profiles import SPEC
from pushproject.carriers import providers
from tests.rabbit import RabbitNode

ROOT = Path(__file__).resolve().parent.parent
QUEUES = ("push.queue", "push.queue.resume", "failed.queue")
EXCHANGES = ("notifications.direct", "notifications.dlx")

#: Times that are short enough for a test and long enough for a busy machine.
QUICK = {
    "DELIVERY_LEASE": "3",
    "RETRY_MIN_WAIT": "0.05",
    "RETRY_MAX_WAIT": "0.2",
    "CIRCUIT_BREAKER_TIMEOUT": "1",
    "DRAIN_GRACE": "20",
}


def eventually(look: Callable[[], Any], *, within: float = 30.0, what: str = "") -> Any:
    """What `look` returns once that is true. Fails with the last thing that it saw."""
    deadline = time.monotonic() + within
    while not (seen := look()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within} s: {what or look} (last seen: {seen!r})")
        time.sleep(0.05)
    return seen


class SandboxProcess:
    """`python -m sandbox` on a free port, and what a test asks of it."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        command = [sys.executable, "-m", "sandbox", "--port", "0", "--dir", str(directory), *options]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[-1]
        self.key_file = directory / "service-account.json"

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=10)

    def book(self, *, full: bool = True) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/book?full={int(full)}") as answer:
            return json.load(answer)

    def control(self, service: str, fault: str, **how: Any) -> None:
        self._post("/control", {"service": service, "fault": fault, **how})

    def hits(self, service: str) -> int:
        """How many calls the fault of a service has met."""
        with urllib.request.urlopen(f"{self.url}/control") as answer:
            return int(json.load(answer)[service]["hits"])

    def rotate_key(self) -> None:
        """A new key in the file; the old one and the tokens that were got with it are good no more."""
        self._post("/control/rotate-key", {})

    def revoke_tokens(self) -> None:
        self._post("/control/revoke-tokens", {})

    def reset(self) -> None:
        self._post("/book/clear", {})
        for service in ("users", "templates", "gateway", "fcm", "token"):
            self.control(service, "none", latency_ms=0)

    def reports(self) -> dict[str, list[dict[str, Any]]]:
        """The bodies of the reports that the gateway took, by notification id."""
        by_id: dict[str, list[dict[str, Any]]] = {}
        for report in self.book()["reports"]:
            by_id.setdefault(report["notification_id"], []).append(report["body"])
        return by_id

    def _post(self, path: str, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers)).close()

    def variables(self) -> dict[str, str]:
        return {
            "USER_SERVICE_URL": self.url,
            "TEMPLATE_SERVICE_URL": self.url,
            "API_GATEWAY_URL": self.url,
            "FCM_ENDPOINT": self.url,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.key_file),
        }


class WorkerProcess:
    """`manage.py rundramatiq`, as operators start it."""

    def __init__(self, log: Path, variables: dict[str, str], *arguments: str) -> None:
        self.log = log
        with log.open("a") as out:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "rundramatiq", "--processes", "1", *arguments],
                cwd=ROOT,
                env=os.environ | variables,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def wait_until_ready(self) -> "WorkerProcess":
        eventually(lambda: "ready for action" in self.words() or not self.running, what="a ready worker")
        assert self.running, self.words()
        return self

    def words(self) -> str:
        return self.log.read_text()

    def children(self) -> list[int]:
        """The pids of the master's children, the worker process among them."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        return [int(pid) for children in tasks for pid in children.read_text().split()]

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """kill -9 of the master and its workers."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def orphan(self) -> None:
        """kill -9 of the master alone."""
        self._process.kill()
        self._process.wait()

    def tell_to_stop(self) -> None:
        """SIGTERM; returns at once."""
        self._process.send_signal(signal.SIGTERM)

    def terminate(self, *, within: float = 40.0) -> int:
        self.tell_to_stop()
        return self._process.wait(timeout=within)


class Producer:
    """A gateway of somebody else: plain JSON, confirmed."""

    def __init__(self, url: str) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def publish(self, body: dict[str, Any] | bytes, **properties: Any) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.channel.basic_publish(
            "", "push.queue", raw, pika.BasicProperties(delivery_mode=2, **properties), mandatory=True
        )

    def depth(self, queue: str) -> int:
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def close(self) -> None:
        if self.connection.is_open:
            self.connection.close()


def message(id: str, user: str | None = None, **more: Any) -> dict[str, Any]:
    """A push request as gateways write it; the sandbox knows what to do by the user's prefix."""
    return {
        "notification_id": id,
        "user_id": user or id,
        "template_id": "welcome",
        "variables": {"name": "Ada"},
        "priority": 5,
        "metadata": {"source": "test", "attempt": 1},
        **more,
    }


def counted(table: str, *columns: str) -> dict[Any, int]:
    """How many rows of a table there are for each value of the columns."""
    names = ", ".join(columns)
    rows = query(f"SELECT {names}, count(*) FROM {table} GROUP BY {names}")
    return {row[0] if len(columns) == 1 else row[:-1]: row[-1] for row in rows}


def query(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def all_ended() -> bool:
    [[open_]] = query(
        "SELECT count(*) FROM notifications WHERE status IN ('pending', 'sending')"
        " OR reported_at IS NULL AND report_refused_at IS NULL"
    )
    return bool(open_ == 0)


#: Whose report was told again, because no answer came; or may have been, where workers were killed.
TOLD_AGAIN = "SELECT notification_id FROM notifications WHERE report_attempts > 1"
MAY_BE_TOLD_AGAIN = """
SELECT notification_id FROM notifications n
WHERE n.report_attempts > 1 OR n.fence > 1 OR EXISTS (
    SELECT FROM push_attempts a WHERE a.notification_id = n.notification_id
      AND (a.error_code = 'worker_stopped' OR a.outcome = 'unknown'))
UNION ALL SELECT notification_id FROM dead_letters
"""


def check_invariants(sandbox: SandboxProcess, *, answers_lost: bool = False) -> None:
    """I2, I3, I4 and I5 of the design, from the ledger, the sandbox's book and the gateway's.

    `answers_lost`: workers were killed, so that a report may have been taken without anybody knowing.
    """
    book = sandbox.book()
    accepted = Counter((entry["tag"], entry["token"]) for entry in book["accepted"])
    allowed = {
        (id, token): 1 + spare
        for id, token, spare in query(
            "SELECT notification_id, device_token, unknown_count + forced_resends FROM push_deliveries"
        )
    }
    too_many = {key[0]: count for key, count in accepted.items() if count > allowed.get(key, 0)}
    assert not too_many, f"I2: accepted more often than the ledger says: {too_many}"
    reports = Counter((r["notification_id"], r["status"]) for r in book["reports"])
    allowed_again = {row[0] for row in query(MAY_BE_TOLD_AGAIN if answers_lost else TOLD_AGAIN)}
    ended = {id: 1 + resends for id, resends in query("SELECT notification_id, resends FROM notifications")}
    doubled = {
        key: count for key, count in reports.items() if count > ended.get(key[0], 1) and key[0] not in allowed_again
    }
    assert not doubled, f"I3: reported more often than it ended: {doubled}"
    unreported = query(
        "SELECT notification_id FROM notifications WHERE status NOT IN ('pending', 'sending')"
        " AND reported_at IS NULL AND report_refused_at IS NULL AND worker_id IS NULL AND next_attempt_at IS NULL"
    )
    assert not unreported, f"I3: nobody owes these reports: {unreported}"
    exhausted = {row[0] for row in query("SELECT notification_id FROM notifications WHERE error_code = 'exhausted'")}
    letters = {
        row[0]
        for row in query("SELECT notification_id FROM dead_letters WHERE code = 'exhausted' AND state <> 'redriven'")
    }
    assert exhausted == letters, "I4: dead letters are exactly the poison and the exhausted"
    assert not query(
        "SELECT notification_id FROM notifications n LEFT JOIN workers w ON w.id = n.worker_id"
        " WHERE n.status = 'sending' AND w.id IS NULL"
    ), "I5: sending without a worker"


@pytest.fixture(scope="session")
def _sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox"))
    yield process
    process.stop()


@pytest.fixture
def sandbox(_sandbox: SandboxProcess) -> SandboxProcess:
    """The sandbox with an empty book and no faults."""
    _sandbox.reset()
    return _sandbox


@pytest.fixture
def slow_sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """One whose FCM books a push at once and answers a second later."""
    process = SandboxProcess(tmp_path / "slow-sandbox", "--fcm-latency", "1000")
    yield process
    process.stop()


def emptied(rabbitmq: RabbitNode) -> RabbitNode:
    """RabbitMQ as on its first day: no queue and no exchange of ours."""
    producer = Producer(rabbitmq.url)
    for queue in QUEUES:
        producer.channel.queue_delete(queue)
    for exchange in EXCHANGES:
        producer.channel.exchange_delete(exchange)
    producer.close()
    return rabbitmq


@pytest.fixture
def rabbit(rabbitmq: RabbitNode) -> RabbitNode:
    """RabbitMQ as on its first day."""
    return emptied(rabbitmq)


@pytest.fixture
def producer(rabbit: RabbitNode) -> Iterator[Producer]:
    producer = Producer(rabbit.url)
    yield producer
    producer.close()


@pytest.fixture
def worker(
    transactional_db: None, rabbit: RabbitNode, sandbox: SandboxProcess, tmp_path: Path
) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers on the test's database; they are gone before it is emptied."""
    started: list[WorkerProcess] = []
    variables = surroundings(sandbox, rabbit)

    def start(*arguments: str, **more: str) -> WorkerProcess:
        process = WorkerProcess(tmp_path / f"worker-{len(started)}.log", variables | more, *arguments)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


def surroundings(sandbox: SandboxProcess, rabbit: RabbitNode) -> dict[str, str]:
    """The settings of a worker in this world."""
    return QUICK | sandbox.variables() | {"DATABASE_URL": database_url(), "RABBITMQ_URL": rabbit.url}


def database_url() -> str:
    parts = psycopg.conninfo.conninfo_to_dict(conninfo())
    return f"postgresql://{parts['user']}@{parts['host']}:{parts['port']}/{parts['dbname']}"


class EngineInTest:
    """An engine in the test's own process, on the test's database."""

    def __init__(self, published: list[tuple[bytes, str, dict[str, Any]]]) -> None:
        self.published = published
        self.engine = Engine(lambda body, reason, headers: published.append((body, reason, headers)))
        self.engine.start()

    def accept(self, *documents: dict[str, Any]) -> None:
        requests = [read_document(document) for document in documents]
        self.engine.accept([Accept(r, "queue", SPEC.is_high(r.priority), 3600) for r in requests], [])


@pytest.fixture
def engine(transactional_db: None, sandbox: SandboxProcess, settings: Any) -> Iterator[Callable[..., EngineInTest]]:
    """Starts engines with quick times; settings of `Environment` can be given by name."""
    started: list[EngineInTest] = []

    def start(**more: Any) -> EngineInTest:
        quick: dict[str, Any] = {name.lower(): float(value) for name, value in QUICK.items()}
        world = {name.lower(): value for name, value in sandbox.variables().items()} | more
        settings.PUSH = django_settings.PUSH.model_copy(update=quick | world)
        settings.PROVIDERS = providers(settings.PUSH)
        started.append(EngineInTest([]))
        return started[-1]

    yield start
    for one in started:
        one.engine.drain(10)
